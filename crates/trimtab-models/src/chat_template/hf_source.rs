//! Where a model folder keeps its chat template, and the tokens that the template names.

use super::ChatTemplateError;
use crate::hf::HfFolder;
use serde_json::Value;

const FILE: &str = "chat_template.jinja";
const KEY: &str = "chat_template";
const USUAL: &str = "default";
/// Real templates have some ten kilobytes.
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// The template: its own file, or else the entry of `tokenizer_config.json`, which is one template
/// or a list of named ones.
pub(crate) fn template(folder: &HfFolder) -> Result<Option<String>, ChatTemplateError> {
    if let Some(template) = folder.read_text(FILE, MAX_TEMPLATE_BYTES)? {
        return Ok(Some(template));
    }
    match folder.tokenizer_config().map(|config| &config[KEY]) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(template)) => Ok(Some(template.clone())),
        Some(Value::Array(named)) => usual(named),
        Some(_) => Err(malformed()),
    }
}

/// The template called `default`, or the only one.
fn usual(named: &[Value]) -> Result<Option<String>, ChatTemplateError> {
    let mut templates = Vec::with_capacity(named.len());
    for entry in named {
        let (Some(name), Some(template)) = (entry["name"].as_str(), entry["template"].as_str())
        else {
            return Err(malformed());
        };
        templates.push((name, template));
    }
    let usual = templates.iter().find(|(name, _)| *name == USUAL);
    match (usual, templates.as_slice()) {
        (Some((_, template)), _) | (None, [(_, template)]) => Ok(Some((*template).to_owned())),
        (None, []) => Ok(None),
        (None, _) => {
            let names = templates.iter().map(|(name, _)| format!("`{name}`"));
            Err(ChatTemplateError::SeveralTemplates(names.collect()))
        }
    }
}

/// The text of a token by its setting; empty where the folder names none.
pub(super) fn named_token(
    folder: &HfFolder,
    key: &'static str,
) -> Result<String, ChatTemplateError> {
    for settings in [folder.tokenizer_config(), folder.special_tokens_map()] {
        let Some(token) = settings.map(|settings| &settings[key]) else {
            continue;
        };
        if token.is_null() {
            continue;
        }
        // A token is its text, or an object with its text and flags.
        let content = token.as_str().or_else(|| token["content"].as_str());
        return content
            .map(str::to_owned)
            .ok_or(ChatTemplateError::Malformed {
                key,
                expected: "a token",
            });
    }
    Ok(String::new())
}

fn malformed() -> ChatTemplateError {
    ChatTemplateError::Malformed {
        key: KEY,
        expected: "a template or a list of objects with `name` and `template`",
    }
}
