//! What a person or program asks for when they start a run; only variants and suites are required.

use serde::Deserialize;
use trimtab_domain::{
    Decoding, Failure, KvCacheFormat, PerformanceDepth, PromptStyle, RunSpec, VariantName,
};

/// A wish for a run, from the command line or as the body of `POST /api/runs`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// Name for people; made up from the variants when absent.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// Variants by name, digest prefix or `MODEL:PRESET`.
    pub(crate) variants: Vec<VariantName>,
    /// What the others are compared with; the first variant when absent.
    #[serde(default)]
    pub(crate) baseline: Option<VariantName>,
    /// Suites by name.
    pub(crate) suites: Vec<String>,
    /// Use only the first so many problems of each suite.
    #[serde(default)]
    pub(crate) limit: Option<u32>,
    /// Seed of everything random.
    #[serde(default)]
    pub(crate) seed: u64,
    /// One setting for all variants.
    #[serde(default)]
    pub(crate) decoding: Option<DecodingRequest>,
    /// How much of the speed is measured: `quick` or `full`.
    #[serde(default)]
    pub(crate) performance: PerformanceDepth,
}

/// How answers are to be decoded; what is absent has its default, which is not always what a stored
/// record without the field means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DecodingRequest {
    /// 0 takes the likeliest token each time.
    pub(crate) temperature: f32,
    /// Keep the smallest set of tokens with this share of probability; 1 keeps all.
    pub(crate) top_p: f32,
    /// Longest answer in tokens.
    pub(crate) max_tokens: u32,
    /// Number format of cached keys and values.
    pub(crate) kv_cache: KvCacheFormat,
    /// How problems are put to the model.
    pub(crate) prompt_style: PromptStyle,
    /// Answers to each problem.
    pub(crate) n_samples: u32,
}

impl Default for DecodingRequest {
    fn default() -> Self {
        let Decoding {
            temperature,
            top_p,
            max_tokens,
            kv_cache,
            prompt_style,
            n_samples,
        } = Decoding::default();
        Self {
            temperature,
            top_p,
            max_tokens,
            kv_cache,
            prompt_style,
            n_samples,
        }
    }
}

impl From<DecodingRequest> for Decoding {
    fn from(request: DecodingRequest) -> Self {
        Self {
            temperature: request.temperature,
            top_p: request.top_p,
            max_tokens: request.max_tokens,
            kv_cache: request.kv_cache,
            prompt_style: request.prompt_style,
            n_samples: request.n_samples,
        }
    }
}

impl RunRequest {
    /// The full settings of the run.
    pub(crate) fn into_spec(self) -> Result<RunSpec, Failure> {
        let Self {
            title,
            mut variants,
            baseline,
            suites,
            limit,
            seed,
            decoding,
            performance,
        } = self;
        let first = variants.first().ok_or_else(|| {
            Failure::bad_input("a run needs at least one variant")
                .with_hint("name one as `MODEL:PRESET`; `trimtab models list` shows the models")
        })?;
        let baseline = baseline.unwrap_or_else(|| first.clone());
        if !variants.contains(&baseline) {
            variants.insert(0, baseline.clone());
        }
        if suites.is_empty() {
            return Err(Failure::bad_input("a run needs at least one suite")
                .with_hint("`trimtab datasets list` shows the suites"));
        }
        let title = title.unwrap_or_else(|| make_title(&variants, &suites));
        let decoding = decoding.unwrap_or_default().into();
        Ok(RunSpec {
            title,
            variants,
            baseline,
            suites,
            limit,
            seed,
            decoding,
            performance,
        })
    }
}

fn make_title(variants: &[VariantName], suites: &[String]) -> String {
    let suites = suites.join(", ");
    match variants {
        [one] => format!("{one} on {suites}"),
        [first, second] => format!("{first} and {second} on {suites}"),
        [first, rest @ ..] => format!("{first} and {} others on {suites}", rest.len()),
        [] => suites,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<RunSpec, Failure> {
        serde_json::from_str::<RunRequest>(json)
            .unwrap()
            .into_spec()
    }

    #[test]
    fn the_first_variant_is_the_baseline_unless_another_is_named() {
        let spec = parse(r#"{"variants":["m:f16","m:int8"],"suites":["starter"]}"#).unwrap();
        assert_eq!(spec.baseline.as_str(), "m:f16");
        assert_eq!(spec.title, "m:f16 and m:int8 on starter");
        assert_eq!((spec.seed, spec.limit), (0, None));
        assert_eq!(spec.performance, PerformanceDepth::Quick);
    }

    #[test]
    fn settings_that_are_not_given_have_their_defaults() {
        let spec = parse(r#"{"variants":["m:f16"],"suites":["s"],"decoding":{"temperature":0.5}}"#)
            .unwrap();
        let wanted = Decoding {
            temperature: 0.5,
            ..Decoding::default()
        };
        assert_eq!(spec.decoding, wanted);
        assert_eq!(spec.decoding.kv_cache, KvCacheFormat::F16);
        let chosen = r#"{"variants":["m:f16"],"suites":["s"],"decoding":{"kv_cache":"int8"}}"#;
        assert_eq!(
            parse(chosen).unwrap().decoding.kv_cache,
            KvCacheFormat::Int8
        );
        let unknown = r#"{"variants":["m:f16"],"suites":["s"],"decoding":{"kv_cache":"q4"}}"#;
        assert!(serde_json::from_str::<RunRequest>(unknown).is_err());
    }

    #[test]
    fn a_baseline_that_is_not_listed_is_evaluated_too() {
        let spec = parse(r#"{"variants":["m:int8"],"baseline":"m:f16","suites":["s"]}"#).unwrap();
        let names: Vec<&str> = spec.variants.iter().map(VariantName::as_str).collect();
        assert_eq!(names, ["m:f16", "m:int8"]);
    }

    #[test]
    fn nothing_to_evaluate_is_refused() {
        assert!(parse(r#"{"variants":[],"suites":["s"]}"#).is_err());
        assert!(parse(r#"{"variants":["m:f16"],"suites":[]}"#).is_err());
        let typo = r#"{"variants":["m:f16"],"suites":["s"],"limits":3}"#;
        assert!(serde_json::from_str::<RunRequest>(typo).is_err());
    }
}
