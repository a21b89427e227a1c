//! A recipe as the fields of a form, and back.
//!
//! What is typed goes to the server as it is: only the server says what a recipe may hold, so that
//! page, HTTP and command line cannot disagree.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trimtab_domain::{
    Activations, Calibration, CalibrationForm, CodeGrid, FloatFormat, Gptq, Override, Prune,
    Recipe, ScaleSearch, Step, StoredAs,
};

/// The fields, as typed or chosen; an empty text is a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecipeFields {
    /// Name of the recipe.
    pub(crate) name: String,
    /// How weights to prune are chosen; empty for no pruning.
    pub(crate) prune_by: String,
    /// A share, or a pattern such as `2:4`.
    pub(crate) sparsity: String,
    /// How the weights are stored: `rtn`, `gptq`, `keep`, or a float format.
    pub(crate) method: String,
    /// Bits per code.
    pub(crate) bits: String,
    /// Inputs that share a scale, `channel` or `tensor`.
    pub(crate) group_size: String,
    /// Whether codes are centred on zero.
    pub(crate) symmetric: bool,
    /// Bits of embedding and head.
    pub(crate) embedding_bits: String,
    /// `float` or `int8`.
    pub(crate) activations: String,
    /// `min_max` or `mse`.
    pub(crate) scale_search: String,
    /// Whether channels with the largest inputs are rounded first.
    pub(crate) act_order: bool,
    /// Share of the mean diagonal that is added.
    pub(crate) damping: String,
    /// `raw` or `chat`.
    pub(crate) form: String,
    /// How many sequences are read.
    pub(crate) sequences: String,
    /// Tokens of each.
    pub(crate) sequence_length: String,
    /// A line for each override: pattern and bits.
    pub(crate) overrides: String,
}

impl Default for RecipeFields {
    fn default() -> Self {
        Self {
            name: "mine".to_owned(),
            prune_by: String::new(),
            sparsity: "2:4".to_owned(),
            method: "gptq".to_owned(),
            bits: "4".to_owned(),
            group_size: "64".to_owned(),
            symmetric: false,
            embedding_bits: "8".to_owned(),
            activations: "int8".to_owned(),
            scale_search: "min_max".to_owned(),
            act_order: true,
            damping: String::new(),
            form: "raw".to_owned(),
            sequences: String::new(),
            sequence_length: String::new(),
            overrides: String::new(),
        }
    }
}

impl RecipeFields {
    /// Whether weights become codes.
    pub(crate) fn has_codes(&self) -> bool {
        matches!(self.method.as_str(), "rtn" | "gptq")
    }

    /// Whether the model reads a text.
    pub(crate) fn is_calibrated(&self) -> bool {
        self.method == "gptq" || matches!(self.prune_by.as_str(), "wanda" | "sparsegpt")
    }

    /// Whether something is added to a diagonal.
    pub(crate) fn is_damped(&self) -> bool {
        self.method == "gptq" || self.prune_by == "sparsegpt"
    }

    /// The recipe as JSON, for the server to read.
    pub(crate) fn to_json(&self) -> String {
        let steps: Vec<Value> = self
            .prune_step()
            .into_iter()
            .chain([self.last_step()])
            .collect();
        json!({ "name": self.name, "steps": steps }).to_string()
    }

    fn prune_step(&self) -> Option<Value> {
        if self.prune_by.is_empty() {
            return None;
        }
        let mut step = Map::new();
        step.insert("method".into(), json!("prune"));
        step.insert("by".into(), json!(self.prune_by));
        step.insert("sparsity".into(), number_or_text(&self.sparsity));
        if self.prune_by == "sparsegpt" {
            put(&mut step, "damping", &self.damping);
        }
        if self.prune_by != "magnitude" {
            self.put_calibration(&mut step);
        }
        Some(Value::Object(step))
    }

    fn last_step(&self) -> Value {
        let mut step = Map::new();
        if !self.has_codes() {
            return match self.method.as_str() {
                "keep" => json!({ "method": "keep" }),
                format => json!({ "method": "cast", "to": format }),
            };
        }
        step.insert("method".into(), json!(self.method));
        step.insert("bits".into(), number_or_text(&self.bits));
        step.insert("group_size".into(), number_or_text(&self.group_size));
        step.insert("symmetric".into(), json!(self.symmetric));
        step.insert(
            "embedding_bits".into(),
            number_or_text(&self.embedding_bits),
        );
        step.insert("activations".into(), json!(self.activations));
        step.insert("scale_search".into(), json!(self.scale_search));
        let overrides: Vec<Value> = self.overrides.lines().filter_map(override_of).collect();
        step.insert("overrides".into(), json!(overrides));
        if self.method == "gptq" {
            step.insert("act_order".into(), json!(self.act_order));
            put(&mut step, "damping", &self.damping);
            self.put_calibration(&mut step);
        }
        Value::Object(step)
    }

    /// Adds a calibration that differs from the default.
    fn put_calibration(&self, step: &mut Map<String, Value>) {
        let mut calibration = Map::new();
        if self.form != "raw" {
            put(&mut calibration, "form", &self.form);
        }
        put(&mut calibration, "sequences", &self.sequences);
        put(&mut calibration, "sequence_length", &self.sequence_length);
        if !calibration.is_empty() {
            step.insert("calibration".into(), Value::Object(calibration));
        }
    }

    /// The fields of a recipe; `None` for one that says more than the form has fields for.
    pub(crate) fn of(recipe: &Recipe) -> Option<Self> {
        let mut fields = Self {
            name: recipe.name.clone(),
            ..Self::default()
        };
        let (last, before) = recipe.steps.split_last()?;
        match before {
            [] => {}
            [Step::Prune(prune)] => fields.take_prune(prune)?,
            _ => return None,
        }
        match last {
            Step::Keep => "keep".clone_into(&mut fields.method),
            Step::Cast { to } => float_word(*to).clone_into(&mut fields.method),
            Step::Rtn(rtn) => fields.take_grid("rtn", rtn.grid())?,
            Step::Gptq(gptq) => fields.take_gptq(gptq)?,
            _ => return None,
        }
        // What a newer recipe says beside its fields must not get lost on the way.
        let back: Recipe = serde_json::from_str(&fields.to_json()).ok()?;
        (back == *recipe).then_some(fields)
    }

    fn take_prune(&mut self, prune: &Prune) -> Option<()> {
        prune.by.as_str().clone_into(&mut self.prune_by);
        let sparsity = serde_json::to_value(prune.sparsity).ok()?;
        self.sparsity = sparsity
            .as_str()
            .map_or_else(|| sparsity.to_string(), str::to_owned);
        if let Some(damping) = prune.damping {
            self.damping = damping.to_string();
        }
        let calibration = prune.calibration.clone().unwrap_or_default();
        self.take_calibration(&calibration);
        Some(())
    }

    fn take_gptq(&mut self, gptq: &Gptq) -> Option<()> {
        self.take_grid("gptq", gptq.grid())?;
        self.act_order = gptq.act_order;
        self.damping = gptq.damping.to_string();
        self.take_calibration(&gptq.calibration);
        Some(())
    }

    fn take_grid(&mut self, method: &str, grid: CodeGrid<'_>) -> Option<()> {
        if grid.stored_as != StoredAs::Codes {
            return None;
        }
        method.clone_into(&mut self.method);
        self.bits = grid.bits.to_string();
        self.group_size = grid.group_size.to_string();
        self.symmetric = grid.symmetric;
        self.embedding_bits = grid.embedding_bits.to_string();
        let activations = match grid.activations {
            Activations::Float => "float",
            Activations::Int8 => "int8",
        };
        activations.clone_into(&mut self.activations);
        let search = match grid.scale_search {
            ScaleSearch::MinMax => "min_max",
            ScaleSearch::Mse => "mse",
        };
        search.clone_into(&mut self.scale_search);
        let lines: Vec<String> = grid.overrides.iter().map(line_of).collect();
        self.overrides = lines.join("\n");
        Some(())
    }

    fn take_calibration(&mut self, calibration: &Calibration) {
        let form = match calibration.form {
            CalibrationForm::Raw => "raw",
            CalibrationForm::Chat => "chat",
        };
        form.clone_into(&mut self.form);
        let text = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
        self.sequences = text(calibration.sequences);
        self.sequence_length = text(calibration.sequence_length);
    }
}

fn float_word(format: FloatFormat) -> &'static str {
    match format {
        FloatFormat::F32 => "f32",
        FloatFormat::F16 => "f16",
        FloatFormat::Bf16 => "bf16",
    }
}

/// A number where the text is one.
fn number_or_text(text: &str) -> Value {
    let text = text.trim();
    let whole = text.parse::<u64>().map(|n| json!(n));
    whole
        .or_else(|_| text.parse::<f64>().map(|n| json!(n)))
        .unwrap_or_else(|_| json!(text))
}

/// Adds what is not empty.
fn put(fields: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.trim().is_empty() {
        fields.insert(key.to_owned(), number_or_text(text));
    }
}

/// `mlp.down_proj 8`, or with a group size behind; an empty line is none.
fn override_of(line: &str) -> Option<Value> {
    let mut parts = line.split_whitespace();
    let pattern = parts.next()?;
    let mut one = Map::new();
    one.insert("pattern".into(), json!(pattern));
    one.insert(
        "bits".into(),
        number_or_text(parts.next().unwrap_or_default()),
    );
    put(&mut one, "group_size", parts.next().unwrap_or_default());
    Some(Value::Object(one))
}

fn line_of(one: &Override) -> String {
    let group = one.group_size.map(|group| format!(" {group}"));
    format!("{} {}{}", one.pattern, one.bits, group.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_become_fields_and_stay_what_they_are() {
        for (name, _) in Recipe::presets() {
            let recipe = Recipe::preset(name).unwrap();
            if let Some(fields) = RecipeFields::of(&recipe) {
                let back: Recipe = serde_json::from_str(&fields.to_json()).unwrap();
                assert_eq!(back, recipe);
            }
        }
        for name in [
            "f16",
            "int8",
            "int4",
            "int4-gptq",
            "prune-2of4",
            "prune-half",
        ] {
            let recipe = Recipe::preset(name).unwrap();
            assert!(RecipeFields::of(&recipe).is_some(), "{name}");
        }
    }

    #[test]
    fn the_default_can_be_carried_out() {
        let recipe: Recipe = serde_json::from_str(&RecipeFields::default().to_json()).unwrap();
        recipe.validate().unwrap();
        assert!(recipe.calibration().is_some());
    }

    #[test]
    fn a_recipe_that_says_more_than_the_form_is_left_to_the_text() {
        let mut recipe = Recipe::preset("int4-gptq").unwrap();
        let Some(Step::Gptq(gptq)) = recipe.steps.last_mut() else {
            panic!("it is GPTQ");
        };
        gptq.calibration.seed = Some(7);
        assert_eq!(RecipeFields::of(&recipe), None);
        recipe.steps.clear();
        assert_eq!(RecipeFields::of(&recipe), None);
    }

    #[test]
    fn overrides_are_lines_and_what_is_no_number_stays_as_typed() {
        let fields = RecipeFields {
            overrides: "mlp.down_proj 8\n\n lm_head  16 128 \nx".to_owned(),
            bits: "four".to_owned(),
            ..RecipeFields::default()
        };
        let json: Value = serde_json::from_str(&fields.to_json()).unwrap();
        let step = &json["steps"][0];
        assert_eq!(step["bits"], "four");
        let wanted = json!([
            {"pattern": "mlp.down_proj", "bits": 8},
            {"pattern": "lm_head", "bits": 16, "group_size": 128},
            {"pattern": "x", "bits": ""},
        ]);
        assert_eq!(step["overrides"], wanted);
    }

    #[test]
    fn only_what_a_method_uses_is_sent() {
        let fields = RecipeFields {
            method: "rtn".to_owned(),
            prune_by: "magnitude".to_owned(),
            damping: "0.1".to_owned(),
            ..RecipeFields::default()
        };
        let json = fields.to_json();
        assert!(
            !json.contains("damping") && !json.contains("calibration"),
            "{json}"
        );
        assert!(!fields.is_calibrated() && !fields.is_damped() && fields.has_codes());
    }
}
