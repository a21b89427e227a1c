//! Recipes as people write them.

use super::*;

fn rtn(bits: u8, group_size: u32, symmetric: bool) -> Rtn {
    Rtn::new(bits, group_size, symmetric)
}

fn of(steps: Vec<Step>) -> Recipe {
    Recipe {
        name: "x".into(),
        steps,
    }
}

fn step(json: &str) -> Step {
    serde_json::from_str(json).unwrap()
}

#[test]
fn every_preset_is_valid_and_says_its_scheme() {
    let schemes: Vec<String> = Recipe::presets()
        .iter()
        .map(|(name, _)| {
            let recipe = Recipe::preset(name).unwrap();
            recipe.validate().unwrap();
            recipe.scheme()
        })
        .collect();
    let want = [
        "F32",
        "F16",
        "BF16",
        "W8A16",
        "W4A8",
        "W4A8",
        "W4A8",
        "W4A16",
        "F16 2:4",
        "F16 50 %",
        "F16 shrunk",
        "F16 shrunk",
    ];
    assert_eq!(schemes, want);
}

#[test]
fn recipes_of_former_versions_are_written_as_they_were() {
    let former = [
        (
            "f16",
            r#"{"name":"f16","steps":[{"method":"cast","to":"f16"}]}"#,
        ),
        (
            "int8",
            r#"{"name":"int8","steps":[{"method":"rtn","bits":8,"group_size":64,"symmetric":true,"embedding_bits":8,"activations":"float"}]}"#,
        ),
        (
            "int4",
            r#"{"name":"int4","steps":[{"method":"rtn","bits":4,"group_size":64,"symmetric":false,"embedding_bits":8,"activations":"int8"}]}"#,
        ),
        ("keep", r#"{"name":"keep","steps":[{"method":"keep"}]}"#),
    ];
    for (preset, json) in former {
        let recipe = Recipe::preset(preset).unwrap();
        assert_eq!(serde_json::to_string(&recipe).unwrap(), json);
        assert_eq!(serde_json::from_str::<Recipe>(json).unwrap(), recipe);
    }
}

#[test]
fn every_preset_reads_back() {
    for (preset, _) in Recipe::presets() {
        let recipe = Recipe::preset(preset).unwrap();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
    }
}

#[test]
fn rejects_what_no_kernel_can_read() {
    let check = |rtn: Rtn| of(vec![Step::Rtn(rtn)]).validate();
    assert_eq!(check(rtn(5, 64, false)), Err(InvalidRecipe::Bits(5)));
    assert_eq!(check(rtn(4, 0, false)), Err(InvalidRecipe::NoGroup));
    assert_eq!(check(rtn(4, 96, false)), Err(InvalidRecipe::GroupSize(96)));
    assert_eq!(check(rtn(8, 64, false)), Err(InvalidRecipe::AsymmetricInt8));
    let mut floats = rtn(4, 96, false);
    floats.stored_as = StoredAs::F16;
    assert_eq!(check(floats.clone()), Ok(()));
    floats.activations = Activations::Int8;
    assert_eq!(check(floats), Err(InvalidRecipe::UnusedActivations));
    let mut channel = rtn(3, 64, true);
    channel.group_size = GroupSize::Channel;
    assert_eq!(check(channel), Ok(()));
}

#[test]
fn an_override_is_checked_as_the_step_is() {
    let with = |bits, group_size: Option<u32>, pattern: &str| {
        let mut rtn = rtn(4, 64, true);
        rtn.overrides.push(Override {
            pattern: pattern.into(),
            bits,
            group_size: group_size.map(GroupSize::from),
        });
        of(vec![Step::Rtn(rtn)]).validate()
    };
    assert_eq!(with(8, None, "down_proj"), Ok(()));
    assert_eq!(with(16, None, "down_proj"), Ok(()));
    assert_eq!(with(5, None, "down_proj"), Err(InvalidRecipe::Bits(5)));
    assert_eq!(with(8, Some(7), "x"), Err(InvalidRecipe::GroupSize(7)));
    assert_eq!(with(8, None, " "), Err(InvalidRecipe::EmptyPattern));
    assert_eq!(
        with(16, Some(64), "x"),
        Err(InvalidRecipe::UnusedGroupSize("x".into()))
    );
    // 8-bit codes are symmetric in a step that has zero points, too.
    let mut uneven = rtn(4, 64, false);
    uneven.overrides.push(Override {
        pattern: "down_proj".into(),
        bits: 8,
        group_size: None,
    });
    assert_eq!(of(vec![Step::Rtn(uneven)]).validate(), Ok(()));
}

#[test]
fn steps_come_in_their_order_and_one_stores_the_weights() {
    let merge = || Step::MergeAdapter {
        adapter: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            .parse()
            .unwrap(),
    };
    let prune = || step(r#"{"method":"prune","by":"magnitude","sparsity":0.5}"#);
    let gptq = || Recipe::preset("int4-gptq").unwrap().steps.remove(0);
    let int8 = || Recipe::preset("int8").unwrap().steps.remove(0);
    assert_eq!(of(vec![merge(), int8()]).validate(), Ok(()));
    assert_eq!(of(vec![merge(), prune(), int8()]).validate(), Ok(()));
    let no_format = Err(InvalidRecipe::NoFormat("x".into()));
    assert_eq!(of(vec![merge()]).validate(), no_format);
    assert_eq!(of(vec![prune()]).validate(), no_format);
    let kept = of(vec![merge(), Step::Keep]);
    assert_eq!(kept.validate(), Err(InvalidRecipe::KeepAfterMerge));
    let kept = of(vec![prune(), Step::Keep]);
    assert_eq!(kept.validate(), Err(InvalidRecipe::KeepAfterPrune));
    let filled = of(vec![prune(), gptq()]);
    assert_eq!(filled.validate(), Err(InvalidRecipe::GptqAfterPrune));
    let twice = of(vec![int8(), int8()]);
    assert_eq!(
        twice.validate(),
        Err(InvalidRecipe::TooManySteps("x".into(), 2))
    );
    let order = |first, then| Err(InvalidRecipe::Order { first, then });
    let merged_late = of(vec![prune(), merge(), int8()]);
    assert_eq!(merged_late.validate(), order("prune", "merge_adapter"));
    let pruned_twice = of(vec![prune(), prune(), int8()]);
    assert_eq!(pruned_twice.validate(), order("prune", "prune"));
}

#[test]
fn steps_that_make_another_model_come_first_and_cut_the_recipe() {
    let shrink = || step(r#"{"method":"shrink","layers":2}"#);
    let prune = || step(r#"{"method":"prune","by":"magnitude","sparsity":0.5}"#);
    let int8 = || Recipe::preset("int8").unwrap().steps.remove(0);
    let chain = of(vec![shrink(), shrink(), prune(), int8()]);
    assert_eq!(chain.validate(), Ok(()));
    let links = [vec![shrink()], vec![shrink()], vec![prune(), int8()]].map(of);
    assert_eq!(chain.links(), links);
    let plain = of(vec![prune(), int8()]);
    assert_eq!(plain.links(), std::slice::from_ref(&plain));
    let late = of(vec![prune(), shrink(), int8()]);
    assert_eq!(
        late.validate(),
        Err(InvalidRecipe::Order {
            first: "prune",
            then: "shrink"
        })
    );
    assert_eq!(
        of(vec![shrink(), Step::Keep]).validate(),
        Err(InvalidRecipe::KeepAfterStage("shrink"))
    );
    assert_eq!(
        of(vec![shrink()]).validate(),
        Err(InvalidRecipe::NoFormat("x".into()))
    );
}

#[test]
fn unknown_keys_are_errors_that_name_them() {
    let refused = |json: &str| serde_json::from_str::<Step>(json).unwrap_err().to_string();
    let cast = refused(r#"{"method":"cast","to":"f16","colour":"red"}"#);
    assert!(cast.contains("colour"), "{cast}");
    let gptq = refused(
        r#"{"method":"gptq","bits":4,"group_size":64,"symmetric":true,"embedding_bits":16,"activations":"float","damp":0.1}"#,
    );
    assert!(gptq.contains("`damp`"), "{gptq}");
    let nested = refused(
        r#"{"method":"gptq","bits":4,"group_size":64,"symmetric":true,"embedding_bits":16,"activations":"float","calibration":{"length":3}}"#,
    );
    assert!(nested.contains("`length`"), "{nested}");
    let method = refused(r#"{"method":"magic"}"#);
    assert!(method.contains("`magic`"), "{method}");
}

#[test]
fn numbers_outside_their_range_are_refused_by_name() {
    let gptq = |extra: &str| {
        let json = format!(
            r#"{{"method":"gptq","bits":4,"group_size":64,"symmetric":true,"embedding_bits":16,"activations":"float",{extra}}}"#
        );
        of(vec![step(&json)]).validate().unwrap_err().to_string()
    };
    let damping = gptq(r#""damping":0"#);
    assert_eq!(damping, "`damping` is 0, not between above 0 and 1");
    let length = gptq(r#""calibration":{"sequence_length":1}"#);
    assert_eq!(length, "`sequence_length` is 1, not between 2 and 4096");
    let share = gptq(r#""calibration":{"sources":[{"bundled":"code","share":-1}]}"#);
    assert!(share.contains("`share`"), "{share}");
}

#[test]
fn eight_bits_of_an_override_are_symmetric_whatever_the_step_is() {
    let mut rtn = rtn(4, 64, false);
    rtn.overrides.push(Override {
        pattern: "down_proj".into(),
        bits: 8,
        group_size: None,
    });
    assert_eq!(of(vec![Step::Rtn(rtn)]).validate(), Ok(()));
}

#[test]
fn the_fast_preset_is_int4_by_another_name() {
    let [fast, int4] = ["int4-fast", "int4"].map(|name| Recipe::preset(name).unwrap());
    assert_eq!(fast.steps, int4.steps);
    assert_eq!(fast.name, "int4-fast");
}

fn awq() -> Step {
    step(r#"{"method":"awq"}"#)
}

fn choose(json: &str) -> Step {
    step(&format!(r#"{{"method":"choose_bits",{json}}}"#))
}

#[test]
fn what_prepares_for_rounding_comes_before_it_and_not_after_pruning() {
    let round = || Step::Rtn(rtn(4, 64, false));
    let choose = || choose(r#""budget_bits":4.5"#);
    let prune = step(r#"{"method":"prune","by":"magnitude","sparsity":0.5}"#);
    let cast = || step(r#"{"method":"cast","to":"f16"}"#);
    assert_eq!(of(vec![choose(), awq(), round()]).validate(), Ok(()));
    assert_eq!(
        of(vec![awq(), choose(), round()]).validate(),
        Err(InvalidRecipe::Order {
            first: "awq",
            then: "choose_bits"
        })
    );
    for (one, name) in [(awq(), "awq"), (choose(), "choose_bits")] {
        let nothing = of(vec![one.clone(), cast()]).validate();
        assert_eq!(nothing, Err(InvalidRecipe::NothingRounded(name)));
        let pruned = of(vec![prune.clone(), one, round()]).validate();
        assert_eq!(pruned, Err(InvalidRecipe::AfterPrune(name)));
    }
}

#[test]
fn a_choice_of_bits_has_one_budget_and_widths_to_choose_from() {
    let round = |bits, stored_as| {
        Step::Rtn(Rtn {
            stored_as,
            ..rtn(bits, 64, true)
        })
    };
    let check = |json: &str, bits| of(vec![choose(json), round(bits, StoredAs::Codes)]).validate();
    assert_eq!(check(r#""budget_bits":4.5"#, 4), Ok(()));
    assert_eq!(check(r#""budget_bytes":90000000"#, 3), Ok(()));
    let both = check(r#""budget_bytes":1,"budget_bits":4.5"#, 4);
    assert_eq!(both, Err(InvalidRecipe::Budget));
    assert_eq!(
        check(r#""candidates":[3,4]"#, 4),
        Err(InvalidRecipe::Budget)
    );
    assert_eq!(
        check(r#""budget_bits":4.5"#, 2),
        Err(InvalidRecipe::NoCandidate(2))
    );
    for bad in ["[4]", "[4,4]", "[4,5]", "[]", "[4,16]"] {
        let refused = check(&format!(r#""budget_bits":4.5,"candidates":{bad}"#), 4);
        assert!(
            matches!(refused, Err(InvalidRecipe::Candidates(_))),
            "{bad}"
        );
    }
    for bad in ["0", "-1", "1.5", "17"] {
        let refused = check(&format!(r#""budget_bits":{bad}"#), 4).unwrap_err();
        assert!(refused.to_string().contains("`budget_bits`"), "{bad}");
    }
    let floats = of(vec![
        choose(r#""budget_bits":4.5"#),
        round(4, StoredAs::F16),
    ]);
    assert_eq!(floats.validate(), Err(InvalidRecipe::ChoiceOfNothing));
    assert_eq!(floats.scheme(), "W3-8 in F16");
}

#[test]
fn a_recipe_has_one_calibration() {
    let few = r#""calibration":{"sequences":4}"#;
    let awq = |calibration: &str| step(&format!(r#"{{"method":"awq",{calibration}}}"#));
    let gptq = |calibration: &str| {
        step(&format!(
            r#"{{"method":"gptq","bits":4,"group_size":64,"symmetric":true,"embedding_bits":16,"activations":"float",{calibration}}}"#
        ))
    };
    let mut once = of(vec![awq(few), gptq(r#""damping":0.01"#)]);
    assert_eq!(once.validate(), Ok(()));
    assert_eq!(once.calibration().unwrap().sequences, Some(4));
    assert_eq!(once.calibrations_mut().count(), 2);
    let twice = of(vec![awq(few), gptq(few)]);
    assert_eq!(twice.validate(), Ok(()));
    let other = of(vec![awq(few), gptq(r#""calibration":{"sequences":5}"#)]);
    assert_eq!(
        other.validate(),
        Err(InvalidRecipe::TwoCalibrations {
            first: "awq",
            then: "gptq"
        })
    );
    let plain = of(vec![Step::Rtn(rtn(4, 64, false))]);
    assert_eq!(plain.calibration(), None);
    let default = of(vec![
        Step::Awq(Awq::default()),
        Step::Rtn(rtn(4, 64, false)),
    ]);
    assert_eq!(default.calibration(), Some(Calibration::default()));
}

#[test]
fn a_model_does_not_learn_from_itself() {
    let recipe = |steps: &str| Recipe {
        name: "x".into(),
        steps: serde_json::from_str(steps).unwrap(),
    };
    let refused = |steps: &str| recipe(steps).validate().unwrap_err().to_string();
    let f16 = r#"{"method":"cast","to":"f16"}"#;
    let itself = refused(&format!(r#"[{{"method":"distil"}},{f16}]"#));
    assert!(itself.contains("teach the model what it knows"), "{itself}");
    for steps in [
        r#"[{"method":"distil","teacher":"other"}"#,
        r#"[{"method":"distil","label_share":1}"#,
        r#"[{"method":"shrink","layers":3},{"method":"distil"}"#,
        r#"[{"method":"shrink","layers":3},{"method":"distil"},{"method":"shrink","heads":0.5},{"method":"distil"}"#,
    ] {
        let recipe = recipe(&format!("{steps},{f16}]"));
        recipe.validate().unwrap();
        assert!(recipe.links().len() > 1, "{steps}");
    }
    let late = refused(&format!(
        r#"[{{"method":"prune","by":"magnitude","sparsity":0.5}},{{"method":"distil","teacher":"m"}},{f16}]"#
    ));
    assert!(late.starts_with("`prune` comes before `distil`"), "{late}");
}
