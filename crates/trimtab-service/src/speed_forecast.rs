//! How long measuring speed by context and batch would take, from what runs have measured of the same
//! models on this device.

use crate::{Service, capacity::max_len, hardware::hardware};
use trimtab_domain::{
    Failure, Hardware, ModelName, Performance, PerformanceDepth, RunSpec, SpeedBasis,
    SpeedForecast, VariantName, VariantSpeedForecast,
};
use trimtab_eval::{matrix_seconds, matrix_seconds_at_one_speed};

/// What runs on this device have measured of a model's variants, newest first.
struct KnownSpeeds {
    speeds: Vec<(VariantName, Performance)>,
    /// Longest context of the model; as long as any where its file is not here to tell.
    max_len: usize,
}

impl Service {
    /// How long the speeds that `spec` asks for take; `None` where only the short measurement is
    /// asked for, which takes seconds. `spec` names variants as they are stored.
    pub(crate) async fn speed_forecast(
        &self,
        spec: &RunSpec,
    ) -> Result<Option<SpeedForecast>, Failure> {
        if spec.performance == PerformanceDepth::Quick {
            return Ok(None);
        }
        let mut variants = Vec::new();
        for variant in &spec.variants {
            let resolved = self.inner.resolve(variant).await?;
            let known = self.known_speeds(resolved.model()).await?;
            variants.push(known.forecast(variant));
        }
        Ok(Some(SpeedForecast { variants }))
    }

    async fn known_speeds(&self, model: &ModelName) -> Result<KnownSpeeds, Failure> {
        let store = &self.inner.store;
        let here = hardware(self.inner.config.device);
        let mut speeds = Vec::new();
        for (run_id, variant, performance) in store.speeds_of_model(model).await? {
            let manifest = store.manifest(run_id).await?;
            let hardware = manifest.map(|manifest| manifest.hardware);
            if hardware.is_some_and(|hardware| is_same_machine(&hardware, &here)) {
                speeds.push((variant, performance));
            }
        }
        let config = self.config_of_model(model).await.ok();
        let max_len = config.map_or(usize::MAX, |config| max_len(&config) as usize);
        Ok(KnownSpeeds { speeds, max_len })
    }
}

/// Whether speeds of one are those of the other: its memory and system may have changed.
fn is_same_machine(a: &Hardware, b: &Hardware) -> bool {
    let key = |it: &Hardware| (it.cpu.clone(), it.n_threads, it.simd.clone(), it.device);
    key(a) == key(b)
}

impl KnownSpeeds {
    /// From the variant's own results before those of others, and from speed by context before that
    /// of one context.
    fn forecast(&self, variant: &VariantName) -> VariantSpeedForecast {
        let own = self.speeds.iter().filter(|(of, _)| of == variant);
        let others = self.speeds.iter().filter(|(of, _)| of != variant);
        let found = newest(own, self.max_len).or_else(|| newest(others, self.max_len));
        let (minutes, basis) = match found {
            Some((seconds, basis)) => (Some(seconds / 60.0), basis),
            None => (None, SpeedBasis::Nothing),
        };
        VariantSpeedForecast {
            variant: variant.clone(),
            minutes,
            basis,
        }
    }
}

/// The newest speed by context, or else the newest of one context, and the seconds that follow.
fn newest<'a>(
    speeds: impl Iterator<Item = &'a (VariantName, Performance)> + Clone,
    max_len: usize,
) -> Option<(f64, SpeedBasis)> {
    let by_context = speeds.clone().find_map(|(of, performance)| {
        let seconds = matrix_seconds(performance.matrix.as_deref()?)?;
        Some((seconds, SpeedBasis::Matrix { of: of.clone() }))
    });
    by_context.or_else(|| {
        let mut speeds = speeds;
        let (of, performance) = speeds.next()?;
        let basis = SpeedBasis::OneContext {
            of: of.clone(),
            n_tokens: performance.n_prompt.saturating_add(performance.n_gen),
        };
        Some((matrix_seconds_at_one_speed(performance, max_len), basis))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_domain::{
        BatchSpeed, Bytes, ContextSpeed, LeftOut, LeftOutReason, Spread, ThroughputMatrix,
    };

    fn spread(median: f64) -> Spread {
        Spread {
            median,
            min: median,
            max: median,
            n: 5,
        }
    }

    fn name(text: &str) -> VariantName {
        text.parse().unwrap()
    }

    fn quick(decode: f64) -> Performance {
        Performance {
            prefill_tokens_per_s: spread(1e9),
            decode_tokens_per_s: spread(decode),
            n_prompt: 256,
            n_gen: 64,
            n_threads: 2,
            load_ms: 1.0,
            peak_memory: Bytes(1),
            weights: Bytes(1),
            kv_cache: Bytes(1),
            detail: None,
            card_use: None,
            matrix: None,
        }
    }

    /// A matrix of one row that takes `seconds` of reading in each of six passes.
    fn full(seconds: f64) -> Performance {
        let left_out = |context| LeftOut {
            context,
            batch: None,
            reason: LeftOutReason::TooLong { max_len: 512 },
        };
        let row = ContextSpeed {
            context: 128,
            ttft_ms: spread(seconds * 1e3),
            batches: vec![BatchSpeed {
                batch: 1,
                output_tokens_per_s: spread(1e9),
            }],
        };
        Performance {
            matrix: Some(Box::new(ThroughputMatrix {
                n_gen: 32,
                n_warmups: 1,
                contexts: vec![row],
                left_out: vec![left_out(1024), left_out(4096)],
                other_load: None,
            })),
            ..quick(1.0)
        }
    }

    #[track_caller]
    fn check(speeds: &[(&str, Performance)], minutes: Option<f64>, basis: &SpeedBasis) {
        let speeds = speeds.iter().cloned();
        let known = KnownSpeeds {
            speeds: speeds.map(|(of, speed)| (name(of), speed)).collect(),
            max_len: 2048,
        };
        let found = known.forecast(&name("m:int4"));
        assert_eq!(found.basis, *basis);
        let is_near = match (found.minutes, minutes) {
            (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-3,
            (found, wanted) => found == wanted,
        };
        assert!(is_near, "{found:?} {minutes:?}");
    }

    #[test]
    fn what_is_nearest_to_the_variant_tells_its_time() {
        let matrix = |of: &str| SpeedBasis::Matrix { of: name(of) };
        let one = |of: &str| SpeedBasis::OneContext {
            of: name(of),
            n_tokens: 320,
        };
        check(&[], None, &SpeedBasis::Nothing);
        // Two contexts of 21 × 32 tokens at 67.2 a second: 20 s a pass.
        let other = ("m:f16", quick(67.2));
        check(std::slice::from_ref(&other), Some(2.0), &one("m:f16"));
        let other_full = ("m:int8", full(30.0));
        check(
            &[other.clone(), other_full.clone()],
            Some(3.0),
            &matrix("m:int8"),
        );
        let own = ("m:int4", quick(33.6));
        check(
            &[other_full.clone(), own.clone()],
            Some(4.0),
            &one("m:int4"),
        );
        let own_full = ("m:int4", full(50.0));
        let older_full = ("m:int4", full(70.0));
        let all = [own, other_full, own_full, older_full];
        check(&all, Some(5.0), &matrix("m:int4"));
    }
}
