//! Recipes as people write them: the name of a preset, TOML or JSON; what is wrong is told with its
//! key and line.

use std::ops::Range;
use trimtab_domain::{Failure, Recipe, RecipeProblem};

/// Longest recipe: room for an override of every weight of a large model.
const MAX_BYTES: usize = 128 << 10;

/// Where what a recipe may say is explained.
const HINT: &str =
    "a recipe has a `name` and `[[steps]]`, each with its `method`: `docs/recipes.md`";

/// Reads the name of a preset, or a recipe in TOML or JSON, and checks that it can be carried out.
///
/// # Errors
///
/// What is wrong, with its key and line where it has them.
pub fn parse_recipe(text: &str) -> Result<Recipe, RecipeProblem> {
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        return parse_json(trimmed);
    }
    if trimmed.contains(['\n', '=', '[']) {
        return parse_recipe_toml(text);
    }
    Recipe::preset(trimmed).ok_or_else(|| {
        let presets: Vec<&str> = Recipe::presets().iter().map(|(name, _)| *name).collect();
        RecipeProblem {
            message: match trimmed {
                "" => "there is no recipe".to_owned(),
                name => format!("`{}` is not a preset", shortened(name)),
            },
            hint: Some(format!("the presets are {}", presets.join(", "))),
            key: None,
            line: None,
        }
    })
}

/// Reads a recipe in TOML and checks that it can be carried out.
///
/// # Errors
///
/// As [`parse_recipe`].
pub fn parse_recipe_toml(text: &str) -> Result<Recipe, RecipeProblem> {
    check_size(text)?;
    let recipe: Recipe = toml::from_str(text).map_err(|error| {
        let mut problem = located(text, one_line(error.message()), Some(HINT.to_owned()));
        if problem.line.is_none() {
            // A span of the whole text says nothing.
            let is_part = |span: &Range<usize>| 0 < span.start && span.start < text.len();
            let span = error.span().filter(is_part);
            problem.line = span.map(|span| line_at(text, span.start));
        }
        problem
    })?;
    validated(text, recipe)
}

fn parse_json(text: &str) -> Result<Recipe, RecipeProblem> {
    check_size(text)?;
    // Told by key alone: one key a line, so that each can be found.
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    let lines = value.and_then(|value| serde_json::to_string_pretty(&value));
    let lines = lines.map_err(|error| RecipeProblem {
        message: format!("the recipe is no JSON: {error}"),
        hint: Some(HINT.to_owned()),
        key: None,
        line: None,
    })?;
    let read = match serde_json::from_str::<Recipe>(text) {
        Ok(recipe) => validated(&lines, recipe),
        Err(error) => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            Err(located(&lines, one_line(message), Some(HINT.to_owned())))
        }
    };
    read.map_err(|problem| RecipeProblem {
        line: None,
        ..problem
    })
}

fn check_size(text: &str) -> Result<(), RecipeProblem> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(RecipeProblem {
        message: format!("the recipe has {} bytes", text.len()),
        hint: Some(format!(
            "{MAX_BYTES} bytes are enough; use patterns in overrides"
        )),
        key: None,
        line: None,
    })
}

fn validated(text: &str, recipe: Recipe) -> Result<Recipe, RecipeProblem> {
    match recipe.validate() {
        Ok(()) => Ok(recipe),
        Err(error) => Err(located(text, error.to_string(), None)),
    }
}

/// A problem at the key or value that its message quotes first, where the text has it.
pub(crate) fn located(text: &str, message: String, hint: Option<String>) -> RecipeProblem {
    let between = |mark: char| message.split(mark).skip(1).step_by(2).map(first_word);
    let quoted = || between('`').chain(between('"'));
    let found = quoted().find_map(|word| find_key(text, word));
    let is_word = |word: &&str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let (key, line) = match found {
        Some((key, line)) => (Some(key), Some(line)),
        // What is missing has a name and no line.
        None if message.starts_with("missing field") => {
            (quoted().find(is_word).map(str::to_owned), None)
        }
        None => (None, None),
    };
    RecipeProblem {
        message,
        hint,
        key,
        line,
    }
}

/// `symmetric` of `symmetric = true`.
fn first_word(quoted: &str) -> &str {
    let end = quoted.find([' ', '=']).unwrap_or(quoted.len());
    &quoted[..end]
}

/// The key and line where `word` stands: as a key itself, or else within its value.
fn find_key(text: &str, word: &str) -> Option<(String, u32)> {
    if word.is_empty() {
        return None;
    }
    let lines = || text.lines().zip(1..);
    let as_key = lines().find(|(line, _)| key_of(line) == Some(word));
    // The name of a recipe is told to say which, not what is wrong.
    let holds = |line: &str| key_of(line) != Some("name") && has_word(line, word);
    let found = as_key.or_else(|| lines().find(|(line, _)| holds(line)));
    let (line, number) = found?;
    // Inside of an inline table the word itself is the key.
    let is_inner = line.contains(&format!("{word} ="));
    let key = if is_inner { word } else { key_of(line)? };
    Some((key.to_owned(), number))
}

/// `bits` of `bits = 4` and of `"bits": 4,`.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches('"');
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !is_part(c))?;
    let rest = line[end..].trim_start_matches('"').trim_start();
    (end > 0 && rest.starts_with(['=', ':'])).then(|| &line[..end])
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn line_at(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or_default();
    1 + before.matches('\n').count() as u32
}

fn one_line(message: &str) -> String {
    let mut lines = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines
        .next()
        .unwrap_or("the recipe is not understood")
        .to_owned()
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}

/// As commands and HTTP tell it.
pub fn recipe_failure(problem: RecipeProblem) -> Failure {
    let RecipeProblem {
        message,
        hint,
        key: _,
        line,
    } = problem;
    let failure = Failure::bad_input(match line {
        Some(line) => format!("recipe, line {line}: {message}"),
        None => message,
    });
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"mine\"\n\n[[steps]]\nmethod = \"rtn\"\nbits = 4\ngroup_size = 64\n\
        symmetric = false\nembedding_bits = 8\nactivations = \"float\"\n";

    #[track_caller]
    fn check(from: &str, to: &str, key: Option<&str>, line: Option<u32>, message: &str) {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        let problem = parse_recipe(&text).unwrap_err();
        assert!(problem.message.contains(message), "{}", problem.message);
        assert_eq!(
            (problem.key.as_deref(), problem.line),
            (key, line),
            "{}",
            problem.message
        );
    }

    #[test]
    fn what_is_wrong_in_toml_has_a_key_and_a_line() {
        assert_eq!(parse_recipe(GOOD).unwrap().name, "mine");
        check("bits = 4", "bits = 5", Some("bits"), Some(5), "`bits` is 5");
        check(
            "= 64",
            "= 60",
            Some("group_size"),
            Some(6),
            "not a multiple of 64",
        );
        check(
            "group_size",
            "grup_size",
            Some("grup_size"),
            Some(6),
            "unknown field",
        );
        // What is missing has no line of its own: its step is named.
        check("bits = 4\n", "", Some("bits"), Some(3), "missing field");
        check(
            "bits = 4\ngroup",
            "bits = 8\ngroup",
            Some("symmetric"),
            Some(7),
            "8-bit codes",
        );
        check(
            "\"rtn\"",
            "\"rtx\"",
            Some("method"),
            Some(4),
            "unknown variant",
        );
        check("bits = 4", "bits = = 4", None, Some(5), "");
        let inline = "activations = \"float\"\noverrides = [{ pattern = \"a\", bits = 7 }]";
        check(
            "activations = \"float\"",
            inline,
            Some("bits"),
            Some(5),
            "`bits` is 7",
        );
    }

    #[test]
    fn json_has_keys_without_lines() {
        let json = r#"{"name":"x","steps":[{"method":"cast","to":"f8"}]}"#;
        let problem = parse_recipe(json).unwrap_err();
        assert_eq!((problem.key.as_deref(), problem.line), (Some("to"), None));
        assert!(parse_recipe("{").unwrap_err().message.contains("no JSON"));
        let empty = parse_recipe(r#"{"name":"x","steps":[]}"#).unwrap_err();
        assert_eq!(
            (&*empty.message, empty.key),
            ("recipe `x` has no steps", None)
        );
        let twice = parse_recipe(r#"{"name":"x","name":"y","steps":[]}"#).unwrap_err();
        assert!(twice.message.contains("duplicate"), "{}", twice.message);
        let typed = r#"{"name":"x","steps":[{"method":"prune","by":"wanda","sparsity":"half"}]}"#;
        assert_eq!(
            parse_recipe(typed).unwrap_err().key.as_deref(),
            Some("sparsity")
        );
    }

    #[test]
    fn presets_are_named_and_odd_texts_are_refused() {
        assert_eq!(
            parse_recipe(" int8 ").unwrap(),
            Recipe::preset("int8").unwrap()
        );
        let unknown = parse_recipe("int3").unwrap_err();
        assert_eq!(unknown.message, "`int3` is not a preset");
        assert!(unknown.hint.unwrap().contains("int4-gptq"));
        assert_eq!(
            parse_recipe("  ").unwrap_err().message,
            "there is no recipe"
        );
        let long = format!("name = \"{}\"", "x".repeat(MAX_BYTES));
        assert!(parse_recipe(&long).unwrap_err().message.contains("bytes"));
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        assert!(parse_recipe(&deep).is_err());
        let deep = format!("a = {}", "[".repeat(60_000));
        assert!(parse_recipe(&deep).is_err());
        for odd in ["=", "[", "\n=`", "é = ü", "`", "[[steps]]"] {
            assert!(parse_recipe(odd).is_err(), "{odd}");
        }
    }
}
