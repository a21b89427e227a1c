//! Chat templates: the Jinja template of a model turns messages into the prompt the model was trained
//! on.
//!
//! A template comes with the model and is not trusted: it has a budget for time and memory, a limit
//! on recursion, and no access to anything but the messages.
//!
//! Source of the conventions (whitespace, `raise_exception`, names of the variables):
//! `apply_chat_template` in <https://github.com/huggingface/transformers>.

mod error;
mod hf_source;
mod python_methods;
mod template;
#[cfg(test)]
mod tests;

pub use error::ChatTemplateError;
pub(crate) use hf_source::template as template_of_folder;
pub use template::{ChatMessage, ChatTemplate, GenerationPrompt};
