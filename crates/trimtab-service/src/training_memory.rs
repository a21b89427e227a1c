//! What a recipe that trains needs in memory while it does, which is more than the variant needs.

use trimtab_compress::{CompressError, predicted_config};
use trimtab_domain::{Bytes, Recipe, Step};
use trimtab_models::{ModelConfig, WeightSpec, weight_specs};

/// Bytes for each weight that is trained: itself, a copy that is computed with, its gradient, and
/// the two means of the optimiser.
const TRAINED: u64 = 20;

/// Bytes for each weight that is only read.
const READ: u64 = 4;

/// The largest need of the training steps of `recipe`, without the activations of a batch; `None`
/// for a recipe that trains nothing. `teacher` is the model that is learned from.
///
/// # Errors
///
/// [`CompressError::Shrink`] where `base` cannot be shrunk as asked for.
pub(crate) fn training_memory(
    base: &ModelConfig,
    teacher: &ModelConfig,
    recipe: &Recipe,
) -> Result<Option<Bytes>, CompressError> {
    let (mut config, mut largest) = (base.clone(), None);
    for link in recipe.links() {
        config = predicted_config(&config, &link)?;
        if !matches!(link.steps.last(), Some(Step::Distil(_))) {
            continue;
        }
        let specs = weight_specs(&config);
        let in_blocks = |spec: &&WeightSpec| spec.place.layer.is_some();
        let trained: u64 = specs.iter().filter(in_blocks).map(n_weights).sum();
        let read = config.n_parameters() - trained + teacher.n_parameters();
        largest = largest.max(Some(TRAINED * trained + READ * read));
    }
    Ok(largest.map(Bytes))
}

fn n_weights(spec: &WeightSpec) -> u64 {
    (spec.d_out * spec.d_in) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_models::tiny::TinyModel;

    #[test]
    fn weights_of_the_blocks_that_are_left_are_trained_and_the_others_read() {
        let base = TinyModel::default().config();
        let need = |name| training_memory(&base, &base, &Recipe::preset(name).unwrap()).unwrap();
        assert_eq!(need("int8"), None);
        assert_eq!(need("shrink-depth"), None);
        let recipe = Recipe::preset("shrink-and-recover").unwrap();
        let made = predicted_config(&base, &recipe).unwrap();
        let outside = base.vocab_size as u64 * base.d_model as u64 + base.d_model as u64;
        let head = u64::from(!base.has_tied_head) * base.vocab_size as u64 * base.d_model as u64;
        let trained = made.n_parameters() - outside - head;
        let read = outside + head + base.n_parameters();
        assert_eq!(
            need("shrink-and-recover"),
            Some(Bytes(20 * trained + 4 * read))
        );
    }
}
