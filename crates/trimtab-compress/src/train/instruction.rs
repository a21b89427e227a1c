//! Instruction data: pairs of a prompt, which is only read, and a completion, which is learned.

use super::{Example, TrainError};
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};
use trimtab_models::{ChatMessage, ChatTemplate, GenerationPrompt, SpecialTokens, TextTokenizer};

/// Longest line that is read: a tokenizer takes no longer text.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// A prompt and what should follow it. Other keys of a line are not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Instruction {
    /// What is asked.
    pub prompt: String,
    /// What is answered.
    pub completion: String,
}

/// Reads a file with one JSON object a line: `{"prompt": …, "completion": …}`. Empty lines count
/// for nothing.
///
/// # Errors
///
/// [`TrainError::Line`] for a line that is no such object, has an empty completion, or is longer
/// than 16 MiB.
pub fn read_instructions(path: &Path) -> Result<Vec<Instruction>, TrainError> {
    let io_error = |source| TrainError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
    let (mut instructions, mut bytes) = (Vec::new(), Vec::new());
    for line in 1.. {
        bytes.clear();
        let mut limited = reader.by_ref().take(MAX_LINE_BYTES + 1);
        if limited.read_until(b'\n', &mut bytes).map_err(io_error)? == 0 {
            break;
        }
        let wrong = |reason: String| TrainError::Line { line, reason };
        if bytes.len() as u64 > MAX_LINE_BYTES {
            return Err(wrong("it is longer than 16 MiB".to_owned()));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let instruction: Instruction =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if instruction.completion.trim().is_empty() {
            return Err(wrong("`completion` is empty".to_owned()));
        }
        instructions.push(instruction);
    }
    Ok(instructions)
}

/// How instructions become tokens.
#[derive(Clone, Copy, Debug)]
pub struct InstructionFormat<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// The model's chat form; without it prompt and completion are put one after the other.
    pub template: Option<&'a ChatTemplate>,
}

impl InstructionFormat<'_> {
    /// The tokens of an instruction, of which those of completion and end are learned.
    ///
    /// # Errors
    ///
    /// [`TrainError`] for texts that cannot be tokenised, a chat template that does not show the
    /// completion as it is, and a tokenizer without an end.
    pub fn encode(&self, instruction: &Instruction) -> Result<Example, TrainError> {
        match self.template {
            Some(template) => self.encode_chat(template, instruction),
            None => self.encode_raw(instruction),
        }
    }

    fn encode_raw(&self, instruction: &Instruction) -> Result<Example, TrainError> {
        let tokenizer = self.tokenizer;
        let end = tokenizer.eos_ids().first().ok_or(TrainError::NoEnd)?;
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        let mut ids: Vec<u32> = bos.into_iter().collect();
        ids.extend(tokenizer.encode(&instruction.prompt, SpecialTokens::AsText)?);
        let first_learned = ids.len();
        ids.extend(tokenizer.encode(&instruction.completion, SpecialTokens::AsText)?);
        ids.push(*end);
        Ok(Example { ids, first_learned })
    }

    fn encode_chat(
        &self,
        template: &ChatTemplate,
        instruction: &Instruction,
    ) -> Result<Example, TrainError> {
        let completion = instruction.completion.trim();
        let question = ChatMessage::new("user", &instruction.prompt);
        let answer = ChatMessage::new("assistant", completion);
        let prompt = template.render(std::slice::from_ref(&question), GenerationPrompt::Add)?;
        let whole = template.render(&[question, answer], GenerationPrompt::Omit)?;
        let rest = whole.strip_prefix(&prompt).map(str::trim_start);
        let end = rest.and_then(|rest| rest.strip_prefix(completion));
        let end = end.ok_or(TrainError::TemplateHidesAnswer)?;
        let mut ids = self.tokenizer.encode(&prompt, SpecialTokens::Parse)?;
        let first_learned = ids.len();
        ids.extend(self.tokenizer.encode(completion, SpecialTokens::AsText)?);
        // What stands after the token that ends an answer is never generated.
        for id in self.tokenizer.encode(end, SpecialTokens::Parse)? {
            ids.push(id);
            if self.tokenizer.eos_ids().contains(&id) {
                return Ok(Example { ids, first_learned });
            }
        }
        Err(TrainError::NoEnd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_models::{
        ModelFiles,
        tiny::{TinyModel, write_tiny_gguf},
    };

    fn read(text: &str) -> Result<Vec<Instruction>, TrainError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.jsonl");
        std::fs::write(&path, text).unwrap();
        read_instructions(&path)
    }

    #[test]
    fn lines_are_read_and_wrong_ones_are_named() {
        let good = "{\"prompt\": \"a\", \"completion\": \"b\", \"id\": 7}\n\n{\"prompt\":\"\",\"completion\":\"c\"}";
        assert_eq!(read(good).unwrap().len(), 2);
        for (text, want) in [
            ("{\"prompt\": \"a\"}", "line 1: missing field `completion`"),
            ("\n[1", "line 2: "),
            (
                "{\"prompt\": \"a\", \"completion\": \" \"}",
                "line 1: `completion` is empty",
            ),
            ("\u{fffd}", "line 1: "),
        ] {
            let failure = trimtab_domain::Failure::from(read(text).unwrap_err());
            assert!(failure.message.starts_with(want), "{failure}");
            assert!(
                failure
                    .hint
                    .unwrap()
                    .starts_with("each line is one JSON object")
            );
        }
    }

    #[test]
    fn prompts_are_read_and_completions_learned_to_their_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.gguf");
        write_tiny_gguf(&path, &TinyModel::default()).unwrap();
        let files = ModelFiles::open(&path).unwrap();
        let tokenizer = files.tokenizer().unwrap();
        let template = files.chat_template().unwrap().unwrap();
        let instruction = Instruction {
            prompt: "ab".to_owned(),
            completion: "cde".to_owned(),
        };
        for template in [None, Some(&template)] {
            let format = InstructionFormat {
                tokenizer: &tokenizer,
                template,
            };
            let example = format.encode(&instruction).unwrap();
            let (read, learned) = example.ids.split_at(example.first_learned);
            let (end, answer) = learned.split_last().unwrap();
            assert_eq!(tokenizer.decode(answer).unwrap(), "cde");
            assert!(tokenizer.eos_ids().contains(end));
            let read = tokenizer.decode(read).unwrap();
            match template {
                None => assert_eq!(read, "ab"),
                Some(_) => assert!(read.contains("ab") && read.contains("assistant"), "{read}"),
            }
        }
    }
}
