//! A compiled chat template and what it renders.

use super::{ChatTemplateError, hf_source, python_methods};
use crate::{gguf::GgufFile, hf::HfFolder};
use minijinja::{Environment, Error, ErrorKind, context, syntax::SyntaxConfig};
use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
        }
    }
}

/// What follows the messages in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationPrompt {
    /// The opening of an answer, for the model to go on from.
    Add,
    /// Nothing.
    Omit,
}

/// The compiled template of a model.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

const NAME: &str = "chat_template";
/// Steps of the engine, where 64 bytes of text count as one: a second and 128 MB at the very most.
/// A conversation of a hundred turns takes a few thousand.
pub(super) const MAX_FUEL: u64 = 2_000_000;
/// Real templates nest less than ten deep.
const MAX_RECURSION: usize = 64;
/// Begins the message of an error that the template raised itself.
const RAISED: &str = "raised by the template: ";

impl ChatTemplate {
    /// Where GGUF files keep it.
    pub(crate) const GGUF_KEY: &str = "tokenizer.chat_template";

    /// Compiles the template in a model file.
    ///
    /// # Errors
    ///
    /// No template, one that is not valid, or end tokens beyond the vocabulary.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ChatTemplateError> {
        let source = file.get_str(Self::GGUF_KEY)?.to_owned();
        Ok(Self {
            environment: compiled(source)?,
            bos_token: named_token(file, "tokenizer.ggml.bos_token_id")?,
            eos_token: named_token(file, "tokenizer.ggml.eos_token_id")?,
        })
    }

    /// Compiles the template of a model folder; `None` where it has none, as base models.
    ///
    /// # Errors
    ///
    /// Several templates without a usual one, one that is not valid, malformed settings.
    pub fn from_hf(folder: &HfFolder) -> Result<Option<Self>, ChatTemplateError> {
        let Some(source) = hf_source::template(folder)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            environment: compiled(source)?,
            bos_token: hf_source::named_token(folder, "bos_token")?,
            eos_token: hf_source::named_token(folder, "eos_token")?,
        }))
    }

    /// The prompt for these messages.
    ///
    /// # Errors
    ///
    /// The template refuses the messages, fails, or runs too long.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        generation_prompt: GenerationPrompt,
    ) -> Result<String, ChatTemplateError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(ChatTemplateError::Render)?;
        let messages: Vec<minijinja::Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let variables = context! {
            messages,
            add_generation_prompt => generation_prompt == GenerationPrompt::Add,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        };
        template.render(variables).map_err(from_engine)
    }
}

fn compiled(source: String) -> Result<Environment<'static>, ChatTemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.map_err(ChatTemplateError::Compile)?);
    environment.set_fuel(Some(MAX_FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.add_function("raise_exception", raise_exception);
    // Python's Jinja does not have these, and the pieces that they make do not cost fuel.
    environment.remove_filter("split");
    environment.remove_filter("lines");
    environment.set_unknown_method_callback(python_methods::call);
    environment
        .add_template_owned(NAME, source)
        .map_err(ChatTemplateError::Compile)?;
    Ok(environment)
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!("{RAISED}{message}"),
    ))
}

fn from_engine(error: Error) -> ChatTemplateError {
    if error.kind() == ErrorKind::OutOfFuel {
        return ChatTemplateError::TooExpensive;
    }
    match error
        .detail()
        .and_then(|detail| detail.strip_prefix(RAISED))
    {
        Some(message) => ChatTemplateError::Refused(message.to_owned()),
        None => ChatTemplateError::Render(error),
    }
}

/// The text of a token that the metadata names; empty where it names none.
fn named_token(file: &GgufFile, key: &'static str) -> Result<String, ChatTemplateError> {
    let Some(id) = file.find::<u32>(key)? else {
        return Ok(String::new());
    };
    let tokens = file.get_strings("tokenizer.ggml.tokens")?;
    let token = tokens.get(id as usize).map(str::to_owned);
    token.ok_or(ChatTemplateError::IdOutOfRange {
        key,
        id,
        n_tokens: tokens.len(),
    })
}
