//! A real model file and values of other implementations: the tensor tables, token ids, and chat
//! prompts of SmolLM2 and Qwen2.5-Coder.

use serde_json::Value;
use std::path::PathBuf;
use trimtab_models::{
    ChatMessage, ChatTemplate, GenerationPrompt, SpecialTokens, TextTokenizer,
    gguf::{GgufArray, GgufFile, GgufValue, GgufWriter},
};

fn path_from_env(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("`{name}` is not set; acceptance tests need it"))
        .into()
}

fn golden(name: &str) -> Value {
    let path = path_from_env("TRIMTAB_ACCEPTANCE_DIR")
        .join("golden")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    serde_json::from_str(&text).expect("golden files are JSON")
}

fn smollm2() -> GgufFile {
    GgufFile::open(&path_from_env("TRIMTAB_TEST_MODEL_SMOLLM2")).expect("the model is read")
}

/// A value the way the dump writes it; long arrays as length, head and tail.
fn dumped(value: &GgufValue, like: &Value) -> Value {
    let full: Value = match value {
        GgufValue::U32(value) => (*value).into(),
        GgufValue::F32(value) => f64::from(*value).into(),
        GgufValue::Bool(value) => (*value).into(),
        GgufValue::String(text) => text.as_str().into(),
        GgufValue::Array(GgufArray::String(texts)) => texts.iter().collect(),
        GgufValue::Array(GgufArray::I32(values)) => values.as_slice().into(),
        other => panic!("the file has no value like {other:?}"),
    };
    let (Some(all), Some(summary)) = (full.as_array(), like.as_object()) else {
        return full;
    };
    let n_shown = |part: &str| summary[part].as_array().map_or(0, Vec::len);
    let (n_head, n_tail) = (n_shown("head"), n_shown("tail"));
    serde_json::json!({
        "len": all.len(), "head": all[..n_head], "tail": all[all.len() - n_tail..],
    })
}

#[test]
fn metadata_and_tensor_table_of_smollm2_equal_the_dump() {
    let (file, dump) = (smollm2(), golden("model_gguf_dump.json"));
    let expected = dump["metadata"].as_object().unwrap();
    let (counts, keys): (Vec<_>, Vec<_>) = expected
        .iter()
        .partition(|(key, _)| key.starts_with("GGUF."));
    assert_eq!(counts.len(), 3);
    assert_eq!(expected["GGUF.version"], file.version());
    assert_eq!(expected["GGUF.kv_count"], file.metadata().len());
    assert_eq!(expected["GGUF.tensor_count"], file.tensors().len());
    assert_eq!(keys.len(), file.metadata().len());
    for (key, value) in keys {
        assert_eq!(dumped(&file.metadata()[key], value), *value, "{key}");
    }
    let tensors = dump["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), file.tensors().len());
    for (tensor, expected) in file.tensors().iter().zip(tensors) {
        let dims: Vec<usize> = tensor.shape.iter().rev().copied().collect();
        let found = serde_json::json!({
            "name": tensor.name, "type": tensor.ggml_type.to_string(), "shape": dims,
            "bytes": tensor.n_bytes, "elems": tensor.n_elements(),
        });
        assert_eq!(found, *expected);
    }
}

#[test]
fn every_tensor_of_smollm2_is_dequantised_to_finite_weights() {
    let file = smollm2();
    let n_elements: usize = file
        .tensors()
        .iter()
        .map(|tensor| file.dequantize(&tensor.name).unwrap().len())
        .sum();
    assert_eq!(golden("model_gguf_dump.json")["total_elems"], n_elements);
}

#[test]
fn token_ids_of_smollm2_equal_those_of_llama_cpp() {
    let tokenizer = TextTokenizer::from_gguf(&smollm2()).unwrap();
    let golden = golden("tokenization_hf_smol.json");
    let items = golden["items"].as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        let text = item["text"].as_str().unwrap();
        let ids = tokenizer.encode(text, SpecialTokens::Parse).unwrap();
        assert_eq!(Value::from(ids.clone()), item["ids"], "{text:?}");
        assert_eq!(
            tokenizer.decode(&ids).unwrap(),
            item["decoded"].as_str().unwrap()
        );
    }
}

#[test]
fn the_tokenizer_of_smollm2_knows_its_ends_and_its_embedding() {
    let file = smollm2();
    let tokenizer = TextTokenizer::from_gguf(&file).unwrap();
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos_ids()),
        (Some(1), &[0, 2][..])
    );
    tokenizer
        .check_vocabulary(file.tensor("token_embd.weight").unwrap().n_rows())
        .unwrap();
}

const QUESTION: &str = "Write a function.";

fn prompt(template: &ChatTemplate, messages: &[ChatMessage]) -> String {
    template
        .render(messages, GenerationPrompt::Add)
        .expect("the template takes them")
}

fn check_chat_ml(template: &ChatTemplate, default_system: &str) {
    let question = ChatMessage::new("user", QUESTION);
    let tail = "<|im_start|>user\nWrite a function.<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        prompt(template, std::slice::from_ref(&question)),
        format!("<|im_start|>system\n{default_system}<|im_end|>\n{tail}")
    );
    assert_eq!(
        prompt(
            template,
            &[ChatMessage::new("system", "Be brief."), question.clone()]
        ),
        format!("<|im_start|>system\nBe brief.<|im_end|>\n{tail}")
    );
    let answered = [
        ChatMessage::new("system", "Be brief."),
        question,
        ChatMessage::new("assistant", "def f(): pass"),
    ];
    assert_eq!(
        template
            .render(&answered, GenerationPrompt::Omit)
            .expect("the template takes them"),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWrite a function.<|im_end|>\n\
         <|im_start|>assistant\ndef f(): pass<|im_end|>\n"
    );
}

#[test]
fn the_template_of_smollm2_gives_chat_ml_with_its_system_prompt() {
    let template = ChatTemplate::from_gguf(&smollm2()).unwrap();
    check_chat_ml(
        &template,
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    );
}

#[test]
fn the_template_of_qwen_gives_chat_ml_with_its_system_prompt() {
    let dump = golden("qwen_gguf_dump.json");
    let source = dump["metadata"]["tokenizer.chat_template"]
        .as_str()
        .unwrap();
    let file = GgufWriter::new()
        .metadata("tokenizer.chat_template", source)
        .to_bytes();
    let template = ChatTemplate::from_gguf(&GgufFile::parse(&file).unwrap()).unwrap();
    check_chat_ml(
        &template,
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    );
}
