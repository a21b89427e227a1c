//! Chat templates: the Jinja template in a model file turns messages into the prompt the model was
//! trained on.
//!
//! A template comes with the model and is not trusted: it has a budget for time and memory, a limit
//! on recursion, and no access to anything but the messages.
//!
//! Source of the conventions (whitespace, `raise_exception`, names of the variables):
//! `apply_chat_template` in <https://github.com/huggingface/transformers>.

use crate::gguf::{GgufError, GgufFile};
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

/// Why a prompt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChatTemplateError {
    /// The metadata cannot be read, or has no template.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A named token beyond the vocabulary.
    #[error("`{key}` = {id} is not among the {n_tokens} tokens")]
    IdOutOfRange {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        id: u32,
        /// Tokens.
        n_tokens: usize,
    },
    /// The template is not valid Jinja.
    #[error("the chat template of the model cannot be compiled: {0}")]
    Compile(#[source] Error),
    /// The template called `raise_exception`.
    #[error("the chat template of the model refuses these messages: {0}")]
    Refused(String),
    /// The template used up its budget.
    #[error("the chat template of the model takes more than {MAX_FUEL} steps")]
    TooExpensive,
    /// The template failed in another way.
    #[error("the chat template of the model fails: {0}")]
    Render(#[source] Error),
}

const KEY: &str = "tokenizer.chat_template";
const NAME: &str = "chat_template";
/// Steps of the engine, where 64 bytes of text count as one: a second and 128 MB at the very most.
/// A conversation of a hundred turns takes a few thousand.
const MAX_FUEL: u64 = 2_000_000;
/// Real templates nest less than ten deep.
const MAX_RECURSION: usize = 64;
/// Begins the message of an error that the template raised itself.
const RAISED: &str = "raised by the template: ";

impl ChatTemplate {
    /// Compiles the template in a model file.
    ///
    /// # Errors
    ///
    /// No template, one that is not valid, or end tokens beyond the vocabulary.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ChatTemplateError> {
        let source = file.get_str(KEY)?.to_owned();
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(ChatTemplateError::Compile)?);
        environment.set_fuel(Some(MAX_FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(NAME, source)
            .map_err(ChatTemplateError::Compile)?;
        Ok(Self {
            environment,
            bos_token: named_token(file, "tokenizer.ggml.bos_token_id")?,
            eos_token: named_token(file, "tokenizer.ggml.eos_token_id")?,
        })
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
    let token = tokens.get(id as usize).cloned();
    token.ok_or(ChatTemplateError::IdOutOfRange {
        key,
        id,
        n_tokens: tokens.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgufWriter;

    fn compiled(source: &str) -> Result<ChatTemplate, ChatTemplateError> {
        let tokens = vec!["<s>".to_owned(), "</s>".to_owned()];
        let writer = GgufWriter::new()
            .metadata(KEY, source)
            .metadata("tokenizer.ggml.tokens", tokens)
            .metadata("tokenizer.ggml.bos_token_id", 0_u32)
            .metadata("tokenizer.ggml.eos_token_id", 1_u32);
        ChatTemplate::from_gguf(&GgufFile::parse(&writer.to_bytes()).unwrap())
    }

    fn render(source: &str) -> Result<String, ChatTemplateError> {
        let messages = [ChatMessage::new("user", "<Hi> & \"you\"")];
        compiled(source)
            .unwrap()
            .render(&messages, GenerationPrompt::Add)
    }

    #[test]
    fn content_is_not_escaped_and_the_named_tokens_are_there() {
        let source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";
        assert_eq!(render(source).unwrap(), "<s><Hi> & \"you\"</s>");
    }

    #[test]
    fn whitespace_is_trimmed_as_the_convention_says() {
        let source = "{% if add_generation_prompt %}\n  a\n  {% endif %}\nb\n";
        assert_eq!(render(source).unwrap(), "  a\nb");
    }

    #[test]
    fn a_template_can_refuse_the_messages() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        let expected =
            "the chat template of the model refuses these messages: roles must alternate";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_clock_is_not_there() {
        assert!(matches!(
            render("{{ strftime_now('%d') }}"),
            Err(ChatTemplateError::Render(_))
        ));
    }

    #[test]
    fn endless_work_and_endless_memory_are_stopped() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let doubled = "{% set ns = namespace(x='xxxxxxxx') %}\
            {% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}";
        for source in [nested, doubled, "{{ 'x' * 99999999999 }}"] {
            let error = render(source).unwrap_err();
            assert!(matches!(error, ChatTemplateError::TooExpensive), "{error}");
        }
    }

    #[test]
    fn endless_recursion_is_stopped() {
        let source = "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}";
        assert!(matches!(render(source), Err(ChatTemplateError::Render(_))));
    }

    #[test]
    fn a_template_nested_beyond_reason_is_refused() {
        let source = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(matches!(
            compiled(&source),
            Err(ChatTemplateError::Compile(_))
        ));
    }

    #[test]
    fn a_broken_or_missing_template_is_named() {
        let broken = compiled("{% if %}").unwrap_err().to_string();
        assert!(broken.starts_with("the chat template of the model cannot be compiled: "));
        let empty = GgufFile::parse(&GgufWriter::new().to_bytes()).unwrap();
        let missing = ChatTemplate::from_gguf(&empty).unwrap_err().to_string();
        assert_eq!(missing, "metadata key `tokenizer.chat_template` is missing");
    }

    #[test]
    fn an_end_token_beyond_the_vocabulary_is_refused() {
        let writer = GgufWriter::new()
            .metadata(KEY, "x")
            .metadata("tokenizer.ggml.tokens", vec!["a".to_owned()])
            .metadata("tokenizer.ggml.eos_token_id", 1_u32);
        let error = ChatTemplate::from_gguf(&GgufFile::parse(&writer.to_bytes()).unwrap());
        assert!(matches!(
            error,
            Err(ChatTemplateError::IdOutOfRange { id: 1, .. })
        ));
    }
}
