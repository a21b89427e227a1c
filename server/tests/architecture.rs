//! Dependencies point downwards only: the table of `ARCHITECTURE.md`, checked over `cargo metadata`.
//!
//! Dependencies of tests and build scripts are not looked at; optional ones are.

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::BTreeSet;

/// Each crate of ours with the crates of ours that it may use, from the bottom up.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("trimtab-domain", &[]),
    ("trimtab-charts", &["trimtab-domain"]),
    ("trimtab-metrics", &["trimtab-domain"]),
    ("trimtab-sandbox", &["trimtab-domain"]),
    ("trimtab-suites", &["trimtab-domain", "trimtab-sandbox"]),
    ("trimtab-store", &["trimtab-domain"]),
    ("trimtab-kernels", &["trimtab-domain"]),
    ("trimtab-models", &["trimtab-domain", "trimtab-kernels"]),
    (
        "trimtab-compress",
        &["trimtab-domain", "trimtab-kernels", "trimtab-models"],
    ),
    (
        "trimtab-runtime",
        &["trimtab-domain", "trimtab-kernels", "trimtab-models"],
    ),
    (
        "trimtab-eval",
        &[
            "trimtab-domain",
            "trimtab-kernels",
            "trimtab-models",
            "trimtab-runtime",
            "trimtab-metrics",
            "trimtab-sandbox",
            "trimtab-suites",
        ],
    ),
    (
        "trimtab-service",
        &[
            "trimtab-domain",
            "trimtab-metrics",
            "trimtab-sandbox",
            "trimtab-suites",
            "trimtab-store",
            "trimtab-kernels",
            "trimtab-models",
            "trimtab-compress",
            "trimtab-runtime",
            "trimtab-eval",
        ],
    ),
    (
        "app",
        &["trimtab-domain", "trimtab-charts", "trimtab-service"],
    ),
    ("frontend", &["app"]),
    ("server", &["app", "trimtab-domain", "trimtab-service"]),
];

/// Crates of others that only some of ours may use.
const ONLY_IN: [(&str, &[&str]); 9] = [
    ("sqlx", &["trimtab-store"]),
    ("axum", &["server"]),
    ("clap", &["server"]),
    ("leptos", &["app", "frontend", "server"]),
    ("leptos_axum", &["app", "server"]),
    ("plotters", &["trimtab-charts"]),
    ("hf-hub", &["trimtab-service"]),
    ("minijinja", &["trimtab-models"]),
    (
        "burn",
        &[
            "trimtab-kernels",
            "trimtab-models",
            "trimtab-compress",
            "trimtab-runtime",
            "trimtab-eval",
        ],
    ),
];

/// Crates without IO and without waiting.
const PURE: [&str; 3] = ["trimtab-domain", "trimtab-charts", "trimtab-metrics"];
const IMPURE_DEPENDENCIES: [&str; 6] = ["tokio", "futures", "libc", "tempfile", "memmap2", "rayon"];

/// Sets features of what others depend on anyway, and holds no code.
const FEATURES_CRATE: &str = "trimtab-features";

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo can read the workspace")
}

fn ours(metadata: &Metadata) -> Vec<&Package> {
    let packages = metadata.workspace_packages();
    packages
        .into_iter()
        .filter(|package| package.name.as_str() != FEATURES_CRATE)
        .collect()
}

/// What a crate uses when it runs.
fn dependencies(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| *name != FEATURES_CRATE)
        .collect()
}

#[test]
fn every_crate_uses_only_crates_below_it() {
    let metadata = metadata();
    let packages = ours(&metadata);
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for package in &packages {
        let name = package.name.as_str();
        let rule = MAY_USE.iter().find(|(known, _)| *known == name);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("`{name}` has no place in the table"));
        for used in dependencies(package).intersection(&names) {
            assert!(allowed.contains(used), "`{name}` must not use `{used}`");
        }
    }
}

#[test]
fn the_table_itself_has_no_cycle() {
    for (position, (name, allowed)) in MAY_USE.iter().enumerate() {
        for used in *allowed {
            let below = MAY_USE[..position].iter().any(|(known, _)| known == used);
            assert!(below, "`{used}` does not stand below `{name}`");
        }
    }
}

#[test]
fn libraries_with_a_purpose_stay_where_they_belong() {
    let metadata = metadata();
    for package in ours(&metadata) {
        let name = package.name.as_str();
        let used = dependencies(package);
        for (library, places) in ONLY_IN {
            let is_misplaced = used.contains(library) && !places.contains(&name);
            assert!(!is_misplaced, "`{name}` must not use `{library}`");
        }
    }
}

#[test]
fn the_pure_crates_do_no_io_and_do_not_wait() {
    let metadata = metadata();
    for package in ours(&metadata) {
        let name = package.name.as_str();
        if !PURE.contains(&name) {
            continue;
        }
        for library in dependencies(package) {
            assert!(
                !IMPURE_DEPENDENCIES.contains(&library),
                "`{name}` must not use `{library}`"
            );
        }
    }
}
