//! Times steps of training an adapter: `lora_step MODEL RECIPE N_TOKENS N_STEPS [LAYER…]`.
//!
//! One example of `N_TOKENS` + 1 arbitrary tokens, rank 8; prints milliseconds of each step after the
//! first, one a line. `scripts/peers/lora_step.py` does the same with PEFT.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for measuring"
)]

use std::{path::Path, time::Instant};
use trimtab_compress::{
    compress,
    train::{Example, TrainInputs, TrainSettings, Trainer, new_adapter},
};
use trimtab_domain::Recipe;
use trimtab_models::{
    Artifact,
    peft::{LoraSettings, LoraTargets},
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, recipe, n_tokens, n_steps, layers @ ..] = &args[..] else {
        panic!("lora_step MODEL RECIPE N_TOKENS N_STEPS [LAYER…]");
    };
    let (n_tokens, n_steps): (u32, u64) = (n_tokens.parse().unwrap(), n_steps.parse().unwrap());
    let path = std::env::temp_dir().join(format!("lora_step-{recipe}.artifact"));
    let recipe = Recipe::preset(recipe).unwrap();
    compress(Path::new(model), None, &recipe, &path, &mut |_, _, _| {}).unwrap();
    let artifact = Artifact::open(&path).unwrap();
    let ends = match layers {
        [] => vec!["q_proj".to_owned(), "v_proj".to_owned()],
        layers => layers.to_vec(),
    };
    let lora = LoraSettings {
        rank: 8,
        alpha: 16.0,
        is_rank_stabilised: false,
        dropout: 0.0,
        targets: LoraTargets::Ends(ends),
    };
    let adapter = new_adapter(&artifact, &lora, 1).unwrap();
    let inputs = TrainInputs {
        artifact: &artifact,
        adapter: &adapter,
        lora: &lora,
        teacher: None,
    };
    let settings = TrainSettings {
        n_steps: n_steps + 1,
        n_warmup: 0,
        max_len: n_tokens as usize + 1,
        ..TrainSettings::default()
    };
    let ids = (0..=n_tokens).map(|i| (i * 7919 + 13) % 40_000).collect();
    let mut trainer = Trainer::new(inputs, settings, vec![Example::text(ids)]).unwrap();
    trainer.step().unwrap();
    for _ in 0..n_steps {
        let clock = Instant::now();
        let report = trainer.step().unwrap();
        let ms = clock.elapsed().as_secs_f64() * 1e3;
        println!("{ms:.1} ms, loss {:.5}", report.loss);
    }
}
