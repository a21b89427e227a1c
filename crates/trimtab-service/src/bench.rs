//! Speed of a variant, measured in this process: rows in the fields of `llama-bench`, and the matrix
//! of contexts and batches.

use crate::{
    Service, clock, devices, hardware,
    inference::{VariantFiles, blocking},
};
use serde::Serialize;
use trimtab_domain::{
    Bytes, CardMemoryOf, CardUse, DeviceName, Failure, KvCacheFormat, Quantiles, Spread,
    ThroughputMatrix, VariantName,
};
use trimtab_eval::{after_repeat, counted_part, throughput_matrix};
use trimtab_metrics::{quantiles, spread};
use trimtab_runtime::{
    CardMeter, DeviceLease, Engine, QuietWatch, RuntimeError, SpeedTest, card_counters,
    free_card_memory, peak_memory,
};

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchRequest {
    /// The variant.
    pub variant: VariantName,
    /// Tokens of the prompt that prefill is measured with; 0 leaves prefill out.
    pub n_prompt: u32,
    /// Tokens that decoding is measured with, in each sequence; 0 leaves decoding out.
    pub n_gen: u32,
    /// How many sequences decode side by side: one measurement each.
    pub n_parallel: Vec<u32>,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
    /// Counted repeats.
    pub repeats: u32,
}

/// One measurement; names and units are those of `llama-bench`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are defined by llama-bench")]
pub struct BenchRow {
    pub build_number: String,
    pub cpu_info: String,
    pub gpu_info: String,
    pub backends: String,
    pub model_filename: String,
    pub model_type: String,
    pub model_size: u64,
    pub model_n_params: u64,
    pub n_batch: u32,
    pub n_threads: u32,
    pub type_k: String,
    pub type_v: String,
    pub n_gpu_layers: u32,
    pub n_prompt: u32,
    pub n_gen: u32,
    pub n_depth: u32,
    pub test_time: String,
    pub avg_ns: u64,
    pub stddev_ns: u64,
    pub avg_ts: f64,
    pub stddev_ts: f64,
    pub samples_ns: Vec<u64>,
    pub samples_ts: Vec<f64>,
    /// The variant.
    pub variant: VariantName,
    /// Sequences that decode side by side, as in `n_batch`; rates are of all of them together.
    pub n_parallel: u32,
    /// Largest resident set of this process so far, loading included.
    pub peak_memory_bytes: u64,
    /// What the counted repeats took of a graphics card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_use: Option<CardUse>,
    /// Of the card's memory, or of this process's where none is used, what is neither `model_size` nor
    /// `kv_cache_bytes`; absent where the card's driver does not tell.
    pub rest_bytes: Option<u64>,
    /// Keys and values of all sequences at their full length.
    pub kv_cache_bytes: u64,
    /// Time from file to first use, of the one time that the variant was loaded.
    pub load_ms: f64,
    /// Times of single steps of decoding, one token of each sequence; absent for prefill.
    pub gaps_ms: Option<Quantiles>,
    /// Processor time, user and system over all threads, for 1,000 of the row's tokens.
    pub cpu_s_per_1000: Spread,
    /// Share of the machine's cores that others used meanwhile; absent for short measurements.
    pub other_load: Option<f64>,
}

/// Speed by context and batch, and what it was measured with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixReport {
    /// The variant.
    pub variant: VariantName,
    /// Number format of cached keys and values.
    pub kv_cache: KvCacheFormat,
    /// Where it was computed.
    pub device: DeviceName,
    /// Worker threads.
    pub n_threads: u32,
    /// Time from file to first use, of the one time that the variant was loaded.
    pub load_ms: f64,
    /// The numbers.
    pub matrix: ThroughputMatrix,
}

impl Service {
    /// Speed of prefill at batch 1 and of decode at each number of sequences: one row each, those of
    /// 0 tokens left out. `on_wait` hears who else measures, while this waits.
    ///
    /// # Errors
    ///
    /// An unknown variant, or nothing to measure.
    pub async fn bench(
        &self,
        request: BenchRequest,
        mut on_wait: impl FnMut(&str) + Send + 'static,
    ) -> Result<Vec<BenchRow>, Failure> {
        let files = self.variant_files(&request.variant).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let tests = request.tests();
            if tests.is_empty() {
                let failure = Failure::bad_input("both token counts are 0: nothing to measure");
                return Err(failure.with_hint("give --prompt-tokens or --gen-tokens"));
            }
            let lease = lease(device, &request.variant, &mut on_wait)?;
            let card = card_counters(device).map(CardMeter::start);
            for missing in card.iter().flat_map(CardMeter::missing) {
                on_wait(&missing);
            }
            let engine = files.load(request.kv_cache, device)?;
            let bench = Bench {
                engine: &engine,
                lease: &lease,
                card: card.as_ref(),
                request: &request,
                files: &files,
            };
            tests.into_iter().map(|test| bench.row(test)).collect()
        })
        .await
    }

    /// Speed by context and by sequences side by side. `on_wait` hears who else measures, while this
    /// waits, and `on_stage` how far it is.
    ///
    /// # Errors
    ///
    /// An unknown variant.
    pub async fn bench_matrix(
        &self,
        variant: VariantName,
        kv_cache: KvCacheFormat,
        mut on_wait: impl FnMut(&str) + Send + 'static,
        mut on_stage: impl FnMut(&str, usize, usize) + Send + 'static,
    ) -> Result<MatrixReport, Failure> {
        let files = self.variant_files(&variant).await?;
        let device = self.inner.config.device;
        blocking(move || {
            let lease = lease(device, &variant, &mut on_wait)?;
            let engine = files.load(kv_cache, device)?;
            let free_memory = &|| hardware::free_memory_of(device);
            let matrix = throughput_matrix(&engine, &lease, free_memory, &mut on_stage)?;
            Ok(MatrixReport {
                variant,
                kv_cache,
                device,
                n_threads: trimtab_runtime::n_threads() as u32,
                load_ms: engine.load_ms(),
                matrix,
            })
        })
        .await
    }
}

fn lease(
    device: DeviceName,
    variant: &VariantName,
    on_wait: &mut dyn FnMut(&str),
) -> Result<DeviceLease, Failure> {
    let purpose = format!("bench of {variant}");
    let lease = DeviceLease::take(device, &purpose, on_wait).map_err(RuntimeError::from)?;
    Ok(lease)
}

impl BenchRequest {
    /// Prefill alone, then decoding alone with each number of sequences.
    fn tests(&self) -> Vec<SpeedTest> {
        let test = SpeedTest {
            n_prompt: self.n_prompt as usize,
            n_gen: 0,
            n_parallel: 1,
            n_repeats: self.repeats as usize,
        };
        let decoding = self.n_parallel.iter().map(|n_parallel| SpeedTest {
            n_prompt: 0,
            n_gen: self.n_gen as usize,
            n_parallel: *n_parallel as usize,
            ..test
        });
        std::iter::once(test)
            .chain(decoding)
            .filter(|test| test.n_prompt + test.n_gen > 0)
            .collect()
    }
}

/// What the repeats of a test took.
#[derive(Debug)]
struct Measured {
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
    gaps_ms: Option<Quantiles>,
    cpu_s_per_1000: Spread,
    other_load: Option<f64>,
    peak_memory: Bytes,
    card_use: Option<CardUse>,
    kv_cache: Bytes,
}

/// What all rows of a request have in common.
#[derive(Clone, Copy)]
struct Bench<'a> {
    engine: &'a Engine,
    lease: &'a DeviceLease,
    card: Option<&'a CardMeter>,
    request: &'a BenchRequest,
    files: &'a VariantFiles,
}

fn measured(bench: Bench<'_>, test: SpeedTest) -> Result<Measured, Failure> {
    let Bench {
        engine,
        lease,
        card,
        ..
    } = bench;
    let watch = QuietWatch::start();
    // What earlier rows needed is given back, so that this one has a peak of its own.
    free_card_memory(engine.device());
    let repeats = engine.measure_speed(lease, test, &mut |n_done, _| after_repeat(card, n_done))?;
    let other_load = watch.other_load();
    let card_use = match card {
        Some(card) => Some(counted_part(engine, lease, test, card)?),
        None => None,
    };
    let (samples_ns, cpu_ns) = if test.n_prompt > 0 {
        (repeats.prefill_ns, repeats.prefill_cpu_ns)
    } else {
        (repeats.decode_ns, repeats.decode_cpu_ns)
    };
    let n_tokens = ((test.n_prompt + test.n_gen) * test.n_parallel) as f64;
    let each = |values: &[u64], of: &dyn Fn(f64) -> f64| -> Vec<f64> {
        values.iter().map(|ns| of(*ns as f64)).collect()
    };
    let n_kept = test.n_prompt.max(1) + test.n_gen;
    let kv_cache = engine.kv_cache(n_kept).0;
    Ok(Measured {
        samples_ts: each(&samples_ns, &|ns| n_tokens * 1e9 / ns),
        gaps_ms: quantiles(&each(&repeats.step_ns, &|ns| ns / 1e6)),
        cpu_s_per_1000: spread(&each(&cpu_ns, &|ns| ns / 1e6 / n_tokens))
            .expect("there is a repeat"),
        samples_ns,
        other_load,
        peak_memory: peak_memory()
            .ok_or_else(|| Failure::failed("the system does not report peak memory"))?,
        card_use,
        kv_cache: Bytes(kv_cache.saturating_mul(test.n_parallel as u64)),
    })
}

impl Bench<'_> {
    fn row(self, test: SpeedTest) -> Result<BenchRow, Failure> {
        let Self {
            engine,
            request,
            files,
            ..
        } = self;
        let measured = measured(self, test)?;
        let nanos: Vec<f64> = measured.samples_ns.iter().map(|ns| *ns as f64).collect();
        let (avg_ns, stddev_ns) = mean_and_deviation(&nanos);
        let (avg_ts, stddev_ts) = mean_and_deviation(&measured.samples_ts);
        let (weights, kv_cache) = (engine.weights().0, measured.kv_cache.0);
        let peak = match measured.card_use {
            Some(card_use) => card_use
                .peak_memory
                .filter(|peak| peak.of == CardMemoryOf::Process)
                .map(|peak| peak.bytes),
            None => Some(measured.peak_memory),
        };
        let rest = |peak: Bytes| peak.0.saturating_sub(weights.saturating_add(kv_cache));
        let device = engine.device();
        let hardware = hardware::hardware(device);
        Ok(BenchRow {
            build_number: env!("CARGO_PKG_VERSION").into(),
            cpu_info: hardware.cpu,
            gpu_info: devices::card_model(device),
            backends: match device {
                DeviceName::Cpu => format!("CPU ({})", hardware.simd),
                DeviceName::Cuda(_) => "CUDA".to_owned(),
            },
            model_filename: files.artifact.display().to_string(),
            model_type: request.variant.to_string(),
            model_size: weights,
            model_n_params: engine.config().n_parameters(),
            n_batch: test.n_parallel as u32,
            n_threads: trimtab_runtime::n_threads() as u32,
            type_k: request.kv_cache.to_string(),
            type_v: request.kv_cache.to_string(),
            n_gpu_layers: 0,
            n_prompt: test.n_prompt as u32,
            n_gen: test.n_gen as u32,
            n_depth: 0,
            test_time: clock::now().to_utc_text(),
            avg_ns: avg_ns as u64,
            stddev_ns: stddev_ns as u64,
            avg_ts,
            stddev_ts,
            samples_ns: measured.samples_ns,
            samples_ts: measured.samples_ts,
            variant: request.variant.clone(),
            n_parallel: test.n_parallel as u32,
            peak_memory_bytes: measured.peak_memory.0,
            card_use: measured.card_use,
            rest_bytes: peak.map(rest),
            kv_cache_bytes: kv_cache,
            load_ms: engine.load_ms(),
            gaps_ms: measured.gaps_ms,
            cpu_s_per_1000: measured.cpu_s_per_1000,
            other_load: measured.other_load,
        })
    }
}

/// Mean and standard deviation with n − 1, 0 for a single value.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_of_one_value_is_zero_and_of_more_uses_n_minus_one() {
        assert_eq!(mean_and_deviation(&[4.0]), (4.0, 0.0));
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
    }
}
