//! The methods of Python's strings and dictionaries that chat templates call.
//!
//! They are written for Python's Jinja, where every string has them. What makes text longer or many
//! is done by the engine's own filters, which count against the template's budget.

use minijinja::{
    Error, ErrorKind, State, Value, filters,
    value::{ValueKind, from_args},
};

/// As much text as is tokenized at once.
const MAX_SPLIT_BYTES: usize = 4 << 20;

/// Calls a method that the engine does not know.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => of_string(state, value, method, arguments),
        ValueKind::Map => of_dictionary(state, value, method, arguments),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn of_string(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    match method {
        "startswith" => any_affix(arguments, |affix| text.starts_with(affix)),
        "endswith" => any_affix(arguments, |affix| text.ends_with(affix)),
        "strip" | "lstrip" | "rstrip" => stripped(text, method, arguments),
        // The text is the joiner here, and the value that is filtered in the engine.
        "join" => {
            let (items,): (Value,) = from_args(arguments)?;
            state.apply_filter("join", &[items, value.clone()])
        }
        "split" => pieces(value, arguments),
        "replace" | "upper" | "lower" | "title" | "capitalize" => {
            let mut operands = vec![value.clone()];
            operands.extend_from_slice(arguments);
            state.apply_filter(method, &operands)
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// Cuts at white space, or at the argument. Pieces do not count against the budget, so what is cut
/// is bounded.
fn pieces(value: &Value, arguments: &[Value]) -> Result<Value, Error> {
    if value.as_str().map_or(0, str::len) > MAX_SPLIT_BYTES {
        let message = format!("a text of more than {MAX_SPLIT_BYTES} bytes is not split");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let (separator, n_cuts) = from_args(arguments)?;
    filters::split(value, separator, n_cuts)
}

/// Strips white space, or any of the characters of the argument.
fn stripped(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (characters,): (Option<&str>,) = from_args(arguments)?;
    let is_stripped = |character: char| match characters {
        Some(characters) => characters.contains(character),
        None => character.is_whitespace(),
    };
    let stripped = match method {
        "lstrip" => text.trim_start_matches(is_stripped),
        "rstrip" => text.trim_end_matches(is_stripped),
        _ => text.trim_matches(is_stripped),
    };
    Ok(Value::from(stripped))
}

/// Whether the argument, or one of a list, is an affix.
fn any_affix(arguments: &[Value], is_affix: impl Fn(&str) -> bool) -> Result<Value, Error> {
    let (affixes,): (Value,) = from_args(arguments)?;
    let no_text = || Error::new(ErrorKind::InvalidOperation, "an affix is a text");
    if let Some(affix) = affixes.as_str() {
        return Ok(Value::from(is_affix(affix)));
    }
    for affix in affixes.try_iter()? {
        if is_affix(affix.as_str().ok_or_else(no_text)?) {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

fn of_dictionary(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match method {
        "items" => {
            let () = from_args(arguments)?;
            state.apply_filter("items", std::slice::from_ref(value))
        }
        // A dictionary goes over its keys.
        "keys" => {
            let () = from_args(arguments)?;
            state.apply_filter("list", std::slice::from_ref(value))
        }
        "values" => {
            let () = from_args(arguments)?;
            let keys = value.try_iter()?;
            let values = keys.map(|key| value.get_item(&key));
            values.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(arguments)?;
            let found = value.get_item(&key)?;
            match found.is_undefined() {
                true => Ok(default.unwrap_or_else(|| Value::from(()))),
                false => Ok(found),
            }
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}
