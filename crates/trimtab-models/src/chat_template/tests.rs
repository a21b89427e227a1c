//! Templates that do what the convention says, and templates that mean harm.

use super::{ChatMessage, ChatTemplate, ChatTemplateError, GenerationPrompt};
use crate::gguf::{GgufFile, GgufWriter};

fn compiled(source: &str) -> Result<ChatTemplate, ChatTemplateError> {
    let tokens = vec!["<s>".to_owned(), "</s>".to_owned()];
    let writer = GgufWriter::new()
        .metadata("tokenizer.chat_template", source)
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
    let expected = "the chat template of the model refuses these messages: roles must alternate";
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
        .metadata("tokenizer.chat_template", "x")
        .metadata("tokenizer.ggml.tokens", vec!["a".to_owned()])
        .metadata("tokenizer.ggml.eos_token_id", 1_u32);
    let error = ChatTemplate::from_gguf(&GgufFile::parse(&writer.to_bytes()).unwrap());
    assert!(matches!(
        error,
        Err(ChatTemplateError::IdOutOfRange { id: 1, .. })
    ));
}

#[test]
fn the_python_methods_of_real_templates_are_there() {
    for (expression, expected) in [
        ("'  a b '.strip()", "a b"),
        ("'--a-'.lstrip('-')", "a-"),
        ("'a\n'.rstrip() ~ '.'", "a."),
        ("'<think>x'.startswith('<think>')", "True"),
        ("'abc'.endswith(('x', 'bc'))", "True"),
        ("'a</think>b'.split('</think>')[-1]", "b"),
        ("'a b  c'.split()|length", "3"),
        ("'aba'.replace('a', 'x')", "xbx"),
        ("', '.join(['a', 'b'])", "a, b"),
        (
            "'Ab'.upper() ~ 'Ab'.lower() ~ 'ab'.title() ~ 'ab'.capitalize()",
            "ABabAbAb",
        ),
        ("messages[0].get('role')", "user"),
        ("messages[0].get('name', 'none')", "none"),
        ("messages[0].get('name') is none", "True"),
        ("messages[0].keys()|sort|join(',')", "content,role"),
        ("{'a': 1}.values()|sum", "1"),
    ] {
        let source = format!("{{{{ {expression} }}}}");
        assert_eq!(render(&source).unwrap(), expected, "{expression}");
    }
    let items = "{% for key, value in {'a': 1, 'b': 2}.items() %}{{ key }}{{ value }}{% endfor %}";
    assert_eq!(render(items).unwrap(), "a1b2");
}

#[test]
fn unknown_methods_are_named() {
    for expression in [
        "'a'.encode()",
        "[1].append(2)",
        "{}.update({})",
        "''.format_map({})",
    ] {
        let error = render(&format!("{{{{ {expression} }}}}")).unwrap_err();
        assert!(matches!(error, ChatTemplateError::Render(_)), "{error}");
        assert!(error.to_string().contains("method"), "{error}");
    }
}

#[test]
fn a_text_is_not_cut_into_any_number_of_pieces() {
    let error = render("{{ ('a' * 9000000).split('a')|length }}").unwrap_err();
    assert!(
        error.to_string().contains("more than 4194304 bytes"),
        "{error}"
    );
    for filter in ["split('a')", "lines"] {
        let error = render(&format!("{{{{ 'a'|{filter} }}}}")).unwrap_err();
        assert!(error.to_string().contains("unknown filter"), "{error}");
    }
}

#[test]
fn methods_that_multiply_text_count_against_the_budget() {
    let replaced = "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}\
        {% for i in range(30) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}{{ ns.x }}";
    let joined = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}\
        {% set ns.x = ns.x.join(['b'] * 999) %}{% endfor %}{{ ns.x }}";
    for source in [replaced, joined] {
        let error = render(source).unwrap_err();
        assert!(matches!(error, ChatTemplateError::TooExpensive), "{error}");
    }
}

/// A system text is put into the first turn; headers stand around every role.
const HEADERS: &str = "{{- bos_token }}\n\
    {%- if messages[0]['role'] == 'system' %}\n\
    {%- set system_message = messages[0]['content'].strip() %}{%- set messages = messages[1:] %}\n\
    {%- else %}{%- set system_message = '' %}{%- endif %}\n\
    {%- if system_message %}{{- '<|header|>system<|end|>\\n\\n' + system_message + eos_token }}{%- endif %}\n\
    {%- for message in messages %}\n\
    {%- if not (message.role in ['user', 'assistant']) %}{{- raise_exception('unknown role ' ~ message.role) }}{%- endif %}\n\
    {{- '<|header|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + eos_token }}\n\
    {%- endfor %}\n\
    {%- if add_generation_prompt %}{{- '<|header|>assistant<|end|>\\n\\n' }}{%- endif %}";

/// Hides what stands before the end of a thought; a namespace tells whether there was a system text.
const THOUGHTS: &str = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}\
    {% set ns = namespace(has_system=false) %}\
    {%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.has_system = true %}{%- endif %}{%- endfor %}\
    {{bos_token}}{%- if not ns.has_system %}{{'Answer with code.\\n'}}{%- endif %}\
    {%- for message in messages %}\
    {%- if message.get('role') == 'user' %}{{'### Question:\\n' + message['content'].rstrip() + '\\n'}}\
    {%- elif message['role'] == 'assistant' %}{% set content = message['content'] %}\
    {%- if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
    {{'### Answer:\\n' + content + eos_token + '\\n'}}{%- endif %}{%- endfor %}\
    {% if add_generation_prompt %}{{'### Answer:'}}{% endif %}";

#[test]
fn templates_of_the_common_kinds_render() {
    let messages = [
        ChatMessage::new("system", " Be brief. "),
        ChatMessage::new("user", "Hi "),
        ChatMessage::new("assistant", "<think>hm</think>\n\nYes"),
    ];
    let headers = compiled(HEADERS).unwrap();
    assert_eq!(
        headers.render(&messages, GenerationPrompt::Add).unwrap(),
        "<s><|header|>system<|end|>\n\nBe brief.</s><|header|>user<|end|>\n\nHi</s>\
        <|header|>assistant<|end|>\n\n<think>hm</think>\n\nYes</s><|header|>assistant<|end|>\n\n"
    );
    let tool = [ChatMessage::new("tool", "1")];
    let error = headers.render(&tool, GenerationPrompt::Omit).unwrap_err();
    assert!(matches!(error, ChatTemplateError::Refused(reason) if reason == "unknown role tool"));
    let thoughts = compiled(THOUGHTS).unwrap();
    assert_eq!(
        thoughts
            .render(&messages[1..], GenerationPrompt::Add)
            .unwrap(),
        "<s>Answer with code.\n### Question:\nHi\n### Answer:\nYes</s>\n### Answer:"
    );
}

mod in_folders {
    use super::*;
    use crate::hf::{HfFolder, tests::TestFolder};
    use serde_json::{Value, json};

    /// The folder must outlive what was opened in it.
    fn opened(tokenizer_config: &Value, template: Option<&str>) -> (TestFolder, HfFolder) {
        let folder = TestFolder::with_weights();
        folder.write("tokenizer_config.json", tokenizer_config.to_string());
        if let Some(template) = template {
            folder.write("chat_template.jinja", template);
        }
        let opened = folder.open();
        (folder, opened)
    }

    fn rendered((_, folder): &(TestFolder, HfFolder)) -> String {
        let template = ChatTemplate::from_hf(folder).unwrap().unwrap();
        template.render(&[], GenerationPrompt::Omit).unwrap()
    }

    #[test]
    fn a_template_file_is_taken_before_the_settings() {
        let config = json!({"chat_template": "b", "bos_token": "<s>"});
        assert_eq!(rendered(&opened(&config, Some("a{{ bos_token }}"))), "a<s>");
        assert_eq!(rendered(&opened(&config, None)), "b");
    }

    #[test]
    fn of_several_templates_the_default_or_the_only_one_is_taken() {
        let named = |name: &str| json!({"name": name, "template": name});
        let config = json!({"chat_template": [named("tool_use"), named("default")]});
        assert_eq!(rendered(&opened(&config, None)), "default");
        let config = json!({"chat_template": [named("rag")]});
        assert_eq!(rendered(&opened(&config, None)), "rag");
        let config = json!({"chat_template": [named("rag"), named("tool_use")]});
        let error = ChatTemplate::from_hf(&opened(&config, None).1).unwrap_err();
        let expected =
            "the model has several chat templates and none is `default`: `rag`, `tool_use`";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn tokens_are_texts_or_objects() {
        let config = json!({
            "chat_template": "{{ bos_token }}|{{ eos_token }}",
            "bos_token": {"content": "<s>", "lstrip": false},
            "eos_token": null,
        });
        assert_eq!(rendered(&opened(&config, None)), "<s>|");
    }

    #[test]
    fn a_base_model_has_no_template() {
        for config in [
            json!({}),
            json!({"chat_template": null}),
            json!({"chat_template": []}),
        ] {
            assert!(
                ChatTemplate::from_hf(&opened(&config, None).1)
                    .unwrap()
                    .is_none()
            );
        }
    }

    #[test]
    fn malformed_settings_are_named() {
        for (config, key) in [
            (json!({"chat_template": 1}), "`chat_template`"),
            (json!({"chat_template": [{"name": "a"}]}), "`chat_template`"),
            (json!({"chat_template": "a", "eos_token": 2}), "`eos_token`"),
            (json!({"chat_template": "{% if %}"}), "cannot be compiled"),
        ] {
            let error = ChatTemplate::from_hf(&opened(&config, None).1).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_template_beyond_reason_is_refused() {
        let template = "a".repeat((1 << 20) + 1);
        let opened = opened(&json!({}), Some(&template));
        let error = ChatTemplate::from_hf(&opened.1).unwrap_err();
        assert!(
            error.to_string().contains("at most 1048576 are read"),
            "{error}"
        );
    }
}
