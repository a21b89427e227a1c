//! Where a compression lost what: reports of weights as a map of layer × module, and the worst.
//!
//! Errors of one variant span factors rather than sums, so colour levels are even on a logarithmic
//! scale.

use std::collections::{BTreeMap, BTreeSet};
use trimtab_domain::{LayerMap, LayerReport, LayerRow, MapCell, WorstModule, place_in_layers};

/// Colour levels.
const N_LEVELS: u8 = 7;

/// One weight in so many counts as one of the worst,
const WORST_PART: usize = 10;
/// and no list is longer than this.
const MAX_WORST: usize = 24;

/// Arranges reports as a map. `expected` names weights that are still to come, or is empty where
/// that is not known; experts of a layer share a cell, which shows the worst of them.
pub fn layer_map(reports: &[LayerReport], expected: &[String]) -> LayerMap {
    let bounds = level_bounds(reports);
    let mut modules: Vec<String> = Vec::new();
    let mut layers: BTreeMap<u32, BTreeMap<String, MapCell>> = BTreeMap::new();
    let mut outside = Vec::new();
    let names = expected.iter().map(String::as_str);
    let reported: BTreeSet<&str> = reports.iter().map(|report| &*report.name).collect();
    let missing: BTreeSet<&str> = names
        .clone()
        .filter(|name| !reported.contains(name))
        .collect();
    for name in names.chain(reports.iter().map(|report| &*report.name)) {
        let Some((layer, module)) = place_in_layers(name) else {
            continue;
        };
        let module = without_expert(module);
        layers.entry(layer).or_default();
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    for report in reports {
        let cell = MapCell {
            level: level_of(report.error, &bounds),
            report: report.clone(),
            n_weights: 1,
        };
        match place_in_layers(&report.name) {
            None => outside.push(cell),
            Some((layer, module)) => {
                let cells = layers.entry(layer).or_default();
                join(cells, without_expert(module), cell);
            }
        }
    }
    let row = |(layer, mut cells): (u32, BTreeMap<String, MapCell>)| LayerRow {
        layer,
        cells: modules.iter().map(|module| cells.remove(module)).collect(),
    };
    let rows = layers.into_iter().map(row).collect();
    LayerMap {
        modules,
        rows,
        outside,
        bounds,
        n_done: reported.len() as u32,
        n_total: (reported.len() + missing.len()) as u32,
    }
}

/// Puts a cell in its place, together with experts that are there.
fn join(cells: &mut BTreeMap<String, MapCell>, module: String, cell: MapCell) {
    match cells.get_mut(&module) {
        None => {
            cells.insert(module, cell);
        }
        Some(there) => {
            let n_weights = there.n_weights + cell.n_weights;
            if there.report.error < cell.report.error {
                *there = cell;
            }
            there.n_weights = n_weights;
        }
    }
}

/// `mlp.experts.*.up_proj` for `mlp.experts.5.up_proj`.
fn without_expert(module: &str) -> String {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let part = |part| if is_number(part) { "*" } else { part };
    module.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// Ends of the colour levels, as many and one more, even on a logarithmic scale from the smallest to
/// the largest error above zero; a single pair where all are equal, nothing where there is none.
/// Weights outside the layers, which often have a format of their own, do not stretch the scale.
fn level_bounds(reports: &[LayerReport]) -> Vec<f64> {
    let in_layers = |report: &&LayerReport| place_in_layers(&report.name).is_some();
    let has_layers = reports.iter().any(|report| in_layers(&report));
    let shown = reports.iter().filter(|one| !has_layers || in_layers(one));
    let errors = shown.map(|report| report.error);
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for error in errors.filter(|error| error.is_finite() && *error > 0.0) {
        (low, high) = (low.min(error), high.max(error));
    }
    if high <= 0.0 {
        return Vec::new();
    }
    if high <= low * 1.001 {
        return vec![low, high];
    }
    let ratio = (high / low).ln();
    let bound = |idx| low * (ratio * f64::from(idx) / f64::from(N_LEVELS)).exp();
    let mut bounds: Vec<f64> = (0..=N_LEVELS).map(bound).collect();
    // Rounding must not leave the largest error above the last level.
    bounds[usize::from(N_LEVELS)] = high;
    bounds
}

fn level_of(error: f64, bounds: &[f64]) -> u8 {
    let Some(inner) = bounds.get(1..bounds.len().saturating_sub(1)) else {
        return 0;
    };
    inner.iter().filter(|bound| **bound <= error).count() as u8
}

/// The weights of the layers that lost most, the worst first: a tenth of them, at least one. Weights
/// stored in `enough_bits` per weight or more are left out, and so are those without an error.
pub fn worst_modules(reports: &[LayerReport], enough_bits: f64) -> Vec<WorstModule> {
    let in_layers = |report: &&LayerReport| place_in_layers(&report.name).is_some();
    let mut errors: Vec<f64> = reports
        .iter()
        .filter(in_layers)
        .map(|report| report.error)
        .collect();
    errors.sort_by(f64::total_cmp);
    let Some(median) = errors.get(errors.len() / 2).copied() else {
        return Vec::new();
    };
    let mut worst: Vec<&LayerReport> = reports
        .iter()
        .filter(in_layers)
        .filter(|report| report.error > 0.0 && report.bits_per_weight < enough_bits)
        .collect();
    worst.sort_by(|a, b| b.error.total_cmp(&a.error).then(a.name.cmp(&b.name)));
    worst.truncate(errors.len().div_ceil(WORST_PART).min(MAX_WORST));
    let module = |report: &LayerReport| WorstModule {
        name: report.name.clone(),
        error: report.error,
        times_median: if median > 0.0 {
            report.error / median
        } else {
            1.0
        },
        bits_per_weight: report.bits_per_weight,
    };
    worst.into_iter().map(module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, error: f64) -> LayerReport {
        LayerReport {
            name: name.to_owned(),
            error,
            bits_per_weight: 4.5,
            duration_ms: 1.0,
            output_error: None,
            scales: None,
            channel_scales: None,
            bit_losses: Vec::new(),
            sparsity: 0.0,
            notes: Vec::new(),
        }
    }

    #[test]
    fn reports_stand_in_their_layer_and_module_and_what_is_to_come_is_empty() {
        let expected = ["m.0.q", "m.0.up", "m.1.q", "m.1.up", "head"].map(str::to_owned);
        let map = layer_map(&[report("m.0.q", 0.1), report("embed", 0.4)], &expected);
        assert_eq!(map.modules, ["q", "up"]);
        assert_eq!((map.n_done, map.n_total), (2, 6));
        let layers: Vec<u32> = map.rows.iter().map(|row| row.layer).collect();
        assert_eq!(layers, [0, 1]);
        let shown = &map.rows[0].cells[0].as_ref().unwrap().report;
        assert_eq!(*shown, report("m.0.q", 0.1));
        assert!(map.rows[0].cells[1].is_none() && map.rows[1].cells[0].is_none());
        assert_eq!(map.outside[0].report.name, "embed");
        assert_eq!(layer_map(&[], &[]), LayerMap::default());
    }

    #[test]
    fn experts_share_a_cell_that_shows_the_worst() {
        let reports = [
            ("m.0.experts.0.up", 0.2),
            ("m.0.experts.1.up", 0.5),
            ("m.0.experts.2.up", 0.3),
        ]
        .map(|(name, error)| report(name, error));
        let map = layer_map(&reports, &[]);
        assert_eq!(map.modules, ["experts.*.up"]);
        let cell = map.rows[0].cells[0].as_ref().unwrap();
        assert_eq!(
            (cell.n_weights, cell.report.name.as_str()),
            (3, "m.0.experts.1.up")
        );
    }

    #[test]
    fn levels_are_even_on_a_logarithmic_scale() {
        let reports = [1e-7, 1e-6, 1e-3, 1.0, 0.0].map(|error| report("m.0.a", error));
        let bounds = level_bounds(&reports);
        assert_eq!((bounds.len(), bounds[0], bounds[7]), (8, 1e-7, 1.0));
        let levels = [0.0, 1e-7, 1.1e-6, 1.1e-3, 0.99, 1.0].map(|error| level_of(error, &bounds));
        assert_eq!(levels, [0, 0, 1, 4, 6, 6]);
    }

    #[test]
    fn weights_outside_the_layers_do_not_stretch_the_scale() {
        let reports = [
            ("embed", 1e-5),
            ("m.0.a", 0.1),
            ("m.0.b", 0.2),
            ("head", 7.0),
        ]
        .map(|(name, error)| report(name, error));
        let bounds = level_bounds(&reports);
        assert_eq!((bounds[0], bounds[7]), (0.1, 0.2));
        let map = layer_map(&reports, &[]);
        let levels: Vec<u8> = map.outside.iter().map(|cell| cell.level).collect();
        assert_eq!(levels, [0, 6]);
        assert_eq!(level_bounds(&reports[..1]), [1e-5, 1e-5]);
    }

    #[test]
    fn equal_errors_and_none_at_all_have_the_lowest_level() {
        for errors in [[0.5, 0.5], [0.0, 0.0], [0.0, 0.25], [f64::NAN, f64::NAN]] {
            let reports = errors.map(|error| report("m.0.a", error));
            let bounds = level_bounds(&reports);
            assert!(
                errors.iter().all(|error| level_of(*error, &bounds) == 0),
                "{errors:?}"
            );
        }
        assert_eq!(level_bounds(&[]), [0.0; 0]);
    }

    #[test]
    fn the_worst_are_a_tenth_of_the_layers_weights() {
        let mut reports: Vec<LayerReport> = (0..20)
            .map(|idx| report(&format!("m.{idx}.a"), 0.01 + 0.001 * f64::from(idx)))
            .collect();
        reports.push(report("embed", 9.0));
        let worst = worst_modules(&reports, 8.0);
        let names: Vec<&str> = worst.iter().map(|module| &*module.name).collect();
        assert_eq!(names, ["m.19.a", "m.18.a"]);
        assert!((worst[0].times_median - 0.029 / 0.020).abs() < 1e-9);
        reports[19].bits_per_weight = 8.25;
        assert_eq!(worst_modules(&reports, 8.0)[0].name, "m.18.a");
        assert!(worst_modules(&[report("m.0.a", 0.0)], 8.0).is_empty());
        assert!(worst_modules(&[], 8.0).is_empty());
    }
}
