//! Arbitrary bytes as the index of a checkpoint in two shards: names that lead out of the folder are
//! never opened, and what is listed is where the index says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{env, fs, path::PathBuf, process, sync::LazyLock};
use trimtab_fuzz::{hf::WeightFiles, read_all};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = env::temp_dir().join(format!("trimtab-fuzz-{}", process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    for name in ["a", "b"] {
        let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        let length = (header.len() as u64).to_le_bytes();
        let file = [length.as_slice(), header.as_bytes(), &[7]].concat();
        fs::write(folder.join(name), file).expect("the temporary folder can be written");
    }
    folder
});

fuzz_target!(|index: &[u8]| {
    let path = FOLDER.join("model.safetensors.index.json");
    fs::write(path, index).expect("the temporary folder can be written");
    if let Ok(weights) = WeightFiles::from_folder(&FOLDER) {
        read_all(&weights, 2);
    }
});
