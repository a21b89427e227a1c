//! The words that the weighted n-gram match counts in full.
//!
//! Reserved words of each language, and the further words that the reference package counts: some
//! that are reserved in certain places only, and some that no specification knows (`True` in
//! JavaScript, whose `true` is missing; `std` and `cout` in C++).

use super::Language;
use crate::keyed_hash::Keyed;
use std::{collections::HashSet, sync::LazyLock};

/// Whether a word of this language counts in full.
pub(super) fn is_keyword(language: Language, word: &str) -> bool {
    KEYWORDS[language as usize].contains(word)
}

static KEYWORDS: LazyLock<[HashSet<&'static str, Keyed>; Language::ALL.len()]> =
    LazyLock::new(|| {
        let listed = |language| {
            let (reserved, further) = words_of(language);
            let words = reserved.split_whitespace();
            words.chain(further.split_whitespace()).collect()
        };
        Language::ALL.map(listed)
    });

/// The reserved words and the further ones.
const fn words_of(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Python => (PYTHON, PYTHON_FURTHER),
        Language::Java => (JAVA, ""),
        Language::CSharp => (C_SHARP, C_SHARP_FURTHER),
        Language::C => (C, C_FURTHER),
        Language::Cpp => (CPP, CPP_FURTHER),
        Language::JavaScript => (JAVASCRIPT, JAVASCRIPT_FURTHER),
        Language::Go => (GO, ""),
        Language::Rust => (RUST, RUST_FURTHER),
        Language::Php => (PHP, PHP_FURTHER),
        Language::Ruby => (RUBY, ""),
    }
}

const PYTHON: &str = "\
    and as assert async await break class continue def del elif else except False finally for from \
    global if import in is lambda None nonlocal not or pass raise return True try while with yield";
const PYTHON_FURTHER: &str = "\
    case match type";

const JAVA: &str = "\
    abstract assert boolean break byte case catch char class const continue default do double else \
    enum extends final finally float for goto if implements import instanceof int interface long \
    native new package private protected public return short static strictfp super switch \
    synchronized this throw throws transient try void volatile while";

const C_SHARP: &str = "\
    abstract as base bool break byte case catch char checked class const continue decimal default \
    delegate do double else enum event explicit extern false finally fixed float for foreach goto \
    if implicit in int interface internal is lock long namespace new null object operator out \
    override params private protected public readonly ref return sbyte sealed short sizeof \
    stackalloc static string struct switch this throw true try typeof uint ulong unchecked unsafe \
    ushort using virtual void volatile while";
const C_SHARP_FURTHER: &str = "\
    add alias ascending async await by descending dynamic equals from get global group into join \
    let nameof notnull on orderby partial remove select set unmanaged value var when where yield";

const C: &str = "\
    auto break case char const continue default do double else enum extern float for goto if int \
    long register return short signed sizeof static struct switch typedef union unsigned void \
    volatile while";
const C_FURTHER: &str = "\
    _Packed";

const CPP: &str = "\
    and and_eq asm auto bitand bitor bool break case catch char class compl const const_cast \
    continue default delete do double dynamic_cast else enum explicit extern false float for \
    friend goto if inline int long mutable namespace new not not_eq operator or or_eq private \
    protected public register reinterpret_cast return short signed sizeof static static_cast \
    struct switch template this throw true try typedef typeid typename union unsigned using \
    virtual void volatile wchar_t while xor xor_eq";
const CPP_FURTHER: &str = "\
    cin cout endl include INT_MAX INT_MIN iomanip iostream main MAX_RAND npos NULL std string";

const JAVASCRIPT: &str = "\
    await break case catch class const continue debugger default delete do else enum export \
    extends false finally for function if implements import in instanceof interface let new null \
    package private protected public return static super switch this throw try typeof var void \
    while with yield";
const JAVASCRIPT_FURTHER: &str = "\
    True";

const GO: &str = "\
    break case chan const continue default defer else fallthrough false for func go goto if import \
    interface map package range return select struct switch true type var";

const RUST: &str = "\
    as async await break const continue crate dyn else enum extern false fn for if impl in let \
    loop match mod move mut pub ref return self static struct super trait true type unsafe use \
    where while yield";
const RUST_FURTHER: &str = "\
    block bool char default expr f32 f64 i128 i16 i32 i64 i8 ident isize item lifetime literal \
    macro_rules! meta pat path stmt str tt ty u128 u16 u32 u64 u8 union usize vis";

const PHP: &str = "\
    __halt_compiler abstract and as break case catch class clone const continue declare default do \
    echo else elseif empty enddeclare endfor endforeach endif endswitch endwhile eval exit extends \
    final for foreach function global goto if implements include include_once instanceof insteadof \
    interface isset namespace new or print private protected public require require_once return \
    static switch throw trait try unset use var while xor";
const PHP_FURTHER: &str = "\
    array callable die list";

const RUBY: &str = "\
    __ENCODING__ __FILE__ __LINE__ alias and BEGIN begin break case class def defined? do else \
    elsif END end ensure false for if in module next nil not or redo rescue retry return self \
    super then true undef unless until when while yield";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_listed_twice() {
        for language in Language::ALL {
            let (reserved, further) = words_of(language);
            let n_listed = reserved.split_whitespace().count() + further.split_whitespace().count();
            assert_eq!(KEYWORDS[language as usize].len(), n_listed, "{language}");
        }
    }

    #[test]
    fn words_belong_to_their_language() {
        assert!(is_keyword(Language::Python, "nonlocal"));
        assert!(is_keyword(Language::Cpp, "cout"));
        assert!(is_keyword(Language::JavaScript, "True"));
        assert!(!is_keyword(Language::JavaScript, "true"));
        assert!(!is_keyword(Language::Java, "def"));
    }
}
