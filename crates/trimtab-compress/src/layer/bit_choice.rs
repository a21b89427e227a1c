//! Mixed precision: which module gets how many bits, so that a budget of bytes costs least quality.
//!
//! A multiple-choice knapsack: one option of every module, the sizes within the budget, the sum of
//! losses as small as possible. Solved by dynamic programming over bytes.
//! Source: Kellerer, Pferschy and Pisinger 2004, "Knapsack Problems", section 11.5.

use super::LayerError;

/// One way to store a module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitOption {
    /// Width of a code.
    pub bits: u32,
    /// Bytes it takes, scales and zero points included.
    pub n_bytes: u64,
    /// What it costs in quality, in any unit that adds up over modules (a divergence in nats).
    pub loss: f64,
}

/// The ways to store a module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleOptions {
    /// Weights of the module.
    pub n_weights: u64,
    /// At least one.
    pub options: Vec<BitOption>,
}

/// What all modules together may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Bytes.
    Bytes(u64),
    /// Bits per weight, scales and zero points included.
    BitsPerWeight(f64),
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct BitChoice {
    /// Position of the option of each module.
    pub option_idx: Vec<usize>,
    /// Bytes in all, within the budget.
    pub n_bytes: u64,
    /// Loss in all.
    pub loss: f64,
}

/// Different sizes that are told apart; more would take more memory than the answer is worth.
const MAX_UNITS: u64 = 1 << 16;

/// Chooses an option for every module: the least sum of losses within the budget.
///
/// The choice is the best one where the sizes' common divisor goes into the budget's play at most 65,536
/// times. Otherwise sizes are rounded up to a 65,536th of that play, and what is left over is then
/// spent on single modules, the largest gain first.
///
/// # Errors
///
/// [`LayerError`] for no modules, a module without options, a loss that is not finite, or a budget
/// that the smallest options exceed.
///
/// # Cost
///
/// `n_modules · n_options · 65,536` steps at most; 2 bytes of memory for each module and unit.
pub fn choose_bits(modules: &[ModuleOptions], budget: Budget) -> Result<BitChoice, LayerError> {
    check(modules)?;
    let budget = budget_bytes(modules, budget)?;
    let least: Vec<u64> = modules.iter().map(smallest).collect();
    let needed = least.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
    if needed > budget {
        return Err(LayerError::Budget { budget, needed });
    }
    let play = budget - needed;
    let extras = modules.iter().zip(&least).flat_map(|(module, least)| {
        let sizes = module.options.iter().map(|option| option.n_bytes);
        sizes.map(move |n_bytes| n_bytes - least)
    });
    let unit = extras.fold(0, gcd).max(play.div_ceil(MAX_UNITS)).max(1);
    let mut choice = best_in_units(modules, &least, unit, (play / unit) as usize);
    spend_rest(modules, &mut choice, budget);
    Ok(choice)
}

fn check(modules: &[ModuleOptions]) -> Result<(), LayerError> {
    if modules.is_empty() {
        return Err(LayerError::Empty("the list of modules"));
    }
    for (module_idx, module) in modules.iter().enumerate() {
        if module.options.is_empty() {
            return Err(LayerError::NoOption(module_idx));
        }
        if let Some(option) = module.options.iter().find(|o| !o.loss.is_finite()) {
            return Err(LayerError::NotFinite {
                what: "the modules' losses",
                index: module_idx,
                value: option.loss,
            });
        }
    }
    Ok(())
}

fn budget_bytes(modules: &[ModuleOptions], budget: Budget) -> Result<u64, LayerError> {
    match budget {
        Budget::Bytes(bytes) => Ok(bytes),
        Budget::BitsPerWeight(bits) if bits.is_finite() && bits > 0.0 => {
            let n_weights: f64 = modules.iter().map(|module| module.n_weights as f64).sum();
            Ok((bits * n_weights / 8.0) as u64)
        }
        Budget::BitsPerWeight(bits) => Err(LayerError::BitsPerWeight(bits)),
    }
}

fn smallest(module: &ModuleOptions) -> u64 {
    let sizes = module.options.iter().map(|option| option.n_bytes);
    sizes.min().unwrap_or(0)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The best choice whose extra bytes, each rounded up to units, are at most `n_units`.
fn best_in_units(modules: &[ModuleOptions], least: &[u64], unit: u64, n_units: usize) -> BitChoice {
    let cost = |module_idx: usize, option: &BitOption| -> usize {
        let extra = (option.n_bytes - least[module_idx]).div_ceil(unit);
        usize::try_from(extra).unwrap_or(usize::MAX)
    };
    // Least loss of the modules so far within so many units, and how each module takes part in it.
    let mut losses = vec![0.0; n_units + 1];
    let mut taken: Vec<Vec<u16>> = Vec::with_capacity(modules.len());
    for (module_idx, module) in modules.iter().enumerate() {
        let mut next = vec![f64::INFINITY; n_units + 1];
        let mut taken_here = vec![0; n_units + 1];
        for (option_idx, option) in (0..=u16::MAX).zip(&module.options) {
            let cost = cost(module_idx, option);
            for units in cost..=n_units {
                let loss = losses[units - cost] + option.loss;
                if loss < next[units] {
                    (next[units], taken_here[units]) = (loss, option_idx);
                }
            }
        }
        losses = next;
        taken.push(taken_here);
    }
    let mut units = n_units;
    let mut option_idx = vec![0; modules.len()];
    for (module_idx, module) in modules.iter().enumerate().rev() {
        let idx = usize::from(taken[module_idx][units]);
        option_idx[module_idx] = idx;
        units -= cost(module_idx, &module.options[idx]);
    }
    BitChoice::new(modules, option_idx)
}

impl BitChoice {
    fn new(modules: &[ModuleOptions], option_idx: Vec<usize>) -> Self {
        let options = || {
            let pairs = modules.iter().zip(&option_idx);
            pairs.map(|(module, idx)| &module.options[*idx])
        };
        Self {
            n_bytes: options().map(|option| option.n_bytes).sum(),
            loss: options().map(|option| option.loss).sum(),
            option_idx,
        }
    }
}

/// Gives single modules better options while bytes are left, the largest gain first.
fn spend_rest(modules: &[ModuleOptions], choice: &mut BitChoice, budget: u64) {
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (module_idx, module) in modules.iter().enumerate() {
            let now = module.options[choice.option_idx[module_idx]];
            for (option_idx, option) in module.options.iter().enumerate() {
                let gain = now.loss - option.loss;
                let fits = choice.n_bytes - now.n_bytes + option.n_bytes <= budget;
                if fits && gain > best.map_or(0.0, |best| best.0) {
                    best = Some((gain, module_idx, option_idx));
                }
            }
        }
        let Some((_, module_idx, option_idx)) = best else {
            return;
        };
        choice.option_idx[module_idx] = option_idx;
        *choice = BitChoice::new(modules, std::mem::take(&mut choice.option_idx));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(n_weights: u64, losses: [f64; 3], n_scale_bytes: u64) -> ModuleOptions {
        let options = [2, 4, 8].into_iter().zip(losses);
        ModuleOptions {
            n_weights,
            options: options
                .map(|(bits, loss)| BitOption {
                    bits,
                    n_bytes: n_weights * u64::from(bits) / 8 + n_scale_bytes,
                    loss,
                })
                .collect(),
        }
    }

    /// Seven modules whose sizes have a small common divisor.
    fn modules() -> Vec<ModuleOptions> {
        (0..7_u32)
            .map(|i| {
                let loss = 1.0 + f64::from(i * 37 % 11);
                let losses = [loss, loss / 7.0, loss / f64::from(90 + i)];
                module(u64::from(64 + 8 * (i * 5 % 7)), losses, u64::from(i % 3))
            })
            .collect()
    }

    fn best_by_trying_all(modules: &[ModuleOptions], budget: u64) -> f64 {
        let n_choices = 3_usize.pow(modules.len() as u32);
        (0..n_choices)
            .map(|code| {
                let digits = (0..modules.len()).map(|i| code / 3_usize.pow(i as u32) % 3);
                BitChoice::new(modules, digits.collect())
            })
            .filter(|choice| choice.n_bytes <= budget)
            .map(|choice| choice.loss)
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_choice_is_the_best_of_all() {
        let modules = modules();
        let (least, most) = (modules.iter().map(smallest).sum(), 900);
        for budget in (least..most).step_by(13) {
            let choice = choose_bits(&modules, Budget::Bytes(budget)).unwrap();
            let want = best_by_trying_all(&modules, budget);
            assert!(choice.n_bytes <= budget);
            assert!((choice.loss - want).abs() < 1e-12, "{budget}: {choice:?}");
        }
    }

    #[test]
    fn a_budget_too_fine_for_its_units_is_spent_all_the_same() {
        // A common divisor of 1, and a budget of millions of units.
        let modules: Vec<ModuleOptions> = (0..9_u32)
            .map(|i| {
                let loss = f64::from(1 + i * 37 % 11);
                module(
                    8_000_000 + 8 * u64::from(i),
                    [loss, loss / 7.0, 0.0],
                    u64::from(i),
                )
            })
            .collect();
        let n_weights: u64 = modules.iter().map(|module| module.n_weights).sum();
        for bits in [2.1, 3.0, 4.0, 5.5, 7.0] {
            let choice = choose_bits(&modules, Budget::BitsPerWeight(bits)).unwrap();
            let budget = (bits * n_weights as f64 / 8.0) as u64;
            let want = best_by_trying_all(&modules, budget);
            assert!(choice.n_bytes <= budget);
            assert!(
                choice.loss <= want + 1e-12,
                "{bits}: {choice:?}, best {want}"
            );
        }
    }

    #[test]
    fn a_large_budget_takes_what_is_best() {
        let modules = modules();
        let choice = choose_bits(&modules, Budget::Bytes(u64::MAX)).unwrap();
        assert_eq!(choice.option_idx, [2; 7]);
        let least = modules.iter().map(smallest).sum();
        let choice = choose_bits(&modules, Budget::Bytes(least)).unwrap();
        assert_eq!((choice.option_idx, choice.n_bytes), (vec![0; 7], least));
    }

    #[test]
    fn more_bytes_never_cost_quality() {
        let modules = modules();
        let least = modules.iter().map(smallest).sum();
        let losses: Vec<f64> = (least..900)
            .map(|budget| choose_bits(&modules, Budget::Bytes(budget)).unwrap().loss)
            .collect();
        // Sums in another order.
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        let modules = modules();
        assert!(matches!(
            choose_bits(&modules, Budget::Bytes(10)),
            Err(LayerError::Budget { budget: 10, .. })
        ));
        for bits in [0.0, -1.0, f64::NAN] {
            let error = choose_bits(&modules, Budget::BitsPerWeight(bits));
            assert!(matches!(error, Err(LayerError::BitsPerWeight(_))));
        }
        assert!(choose_bits(&[], Budget::Bytes(10)).is_err());
        let none = ModuleOptions {
            n_weights: 1,
            options: vec![],
        };
        let error = choose_bits(&[modules[0].clone(), none], Budget::Bytes(10));
        assert_eq!(error, Err(LayerError::NoOption(1)));
        let without_loss = [module(8, [f64::NAN, 0.0, 0.0], 0)];
        assert!(matches!(
            choose_bits(&without_loss, Budget::Bytes(10)),
            Err(LayerError::NotFinite { .. })
        ));
    }
}
