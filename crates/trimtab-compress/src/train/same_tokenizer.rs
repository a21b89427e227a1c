//! Whether a teacher and its student read a text as the same tokens.

use super::TrainError;
use trimtab_models::TextTokenizer;

/// Refuses a teacher whose tokens are not those of the student, and says how they differ.
///
/// # Errors
///
/// [`TrainError::TeacherTokenizer`] with the first tokens that differ.
pub fn check_same_tokenizer(
    teacher: &TextTokenizer,
    student: &TextTokenizer,
) -> Result<(), TrainError> {
    let sizes = (teacher.vocab_size(), student.vocab_size());
    let n_tokens = u32::try_from(sizes.0.max(sizes.1)).unwrap_or(u32::MAX);
    let text = |tokenizer: &TextTokenizer, id: u32| match tokenizer.token_bytes(id) {
        Ok(bytes) => format!("`{}`", String::from_utf8_lossy(bytes).escape_debug()),
        Err(_) => "none".to_owned(),
    };
    let differs = |id: &u32| teacher.token_bytes(*id).ok() != student.token_bytes(*id).ok();
    let mut different = (0..n_tokens).filter(differs);
    let Some(first) = different.next() else {
        return Ok(());
    };
    let n_different = 1 + different.count();
    Err(TrainError::TeacherTokenizer(format!(
        "{n_different} of {n_tokens} tokens differ (it has {}, the student {}); the first is token \
         {first}: {} there, {} here",
        sizes.0,
        sizes.1,
        text(teacher, first),
        text(student, first),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use trimtab_models::{
        ModelFiles,
        tiny::{TinyModel, write_tiny_gguf},
    };

    #[test]
    fn tokenizers_that_differ_are_told_apart_by_their_first_difference() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.gguf");
        write_tiny_gguf(&path, &TinyModel::default()).unwrap();
        let tiny = ModelFiles::open(&path).unwrap().tokenizer().unwrap();
        check_same_tokenizer(&tiny, &tiny).unwrap();
        let other = dir.path().join("other.gguf");
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(10).position(|bytes| bytes == b"<|im_end|>");
        let mut bytes = bytes;
        bytes[at.unwrap() + 3] = b'n';
        std::fs::write(&other, bytes).unwrap();
        let other = ModelFiles::open(Path::new(&other)).unwrap();
        let error = check_same_tokenizer(&other.tokenizer().unwrap(), &tiny).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the teacher's tokenizer is another one: 1 of 259 tokens differ (it has 259, the \
             student 259); the first is token 258: `<|in_end|>` there, `<|im_end|>` here"
        );
    }
}
