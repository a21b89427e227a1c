"""Our side: variants of an imported model, and `trimtab bench`."""

from programs import ProgramFailed


class Trimtab:
    """The program and a data folder of its own."""

    def __init__(self, program, data_dir, runner):
        self.program = program
        self.data_dir = data_dir
        self.runner = runner

    def call(self, *arguments):
        """Runs a command that answers in JSON."""
        return self.runner.run([self.program, *arguments, "--json", "--data-dir", self.data_dir])

    def version(self):
        """The program's version."""
        return self.runner.run([self.program, "--version"]).stdout.split()[-1]

    def import_model(self, source, name):
        """Makes the model known, once."""
        known = [model["name"] for model in self.call("models", "list").json() if model["is_fetched"]]
        if name not in known:
            self.call("models", "import", source, "--name", name)

    def make_variant(self, model, pair):
        """The variant of a pair, made once."""
        variant = f"{model}:{pair.name}"
        models = self.call("models", "list").json()
        made = [view["name"] for entry in models for view in entry["variants"]]
        if variant not in made:
            self.call("compress", "--model", model, "--recipe", pair.recipe, "--name", variant)
        return variant

    def bench(self, variant, n_prompt, n_gen, repeats):
        """Rows of `trimtab bench`, and the peak memory of its process."""
        ended = self.call(
            *("bench", "--variant", variant, "--prompt-tokens", n_prompt),
            *("--gen-tokens", n_gen, "--repeats", repeats),
        )
        return ended.json(), ended.peak_memory_bytes

    def has_batches(self):
        """Whether this build measures many sequences at once."""
        return "--batch" in self.runner.run([self.program, "bench", "--help"]).stdout

    def batch_rate(self, variant, n_sequences, n_gen):
        """Tokens generated per second over `n_sequences` sequences at once."""
        ended = self.call(
            *("bench", "--variant", variant, "--batch", n_sequences),
            *("--prompt-tokens", 0, "--gen-tokens", n_gen, "--repeats", 1),
        )
        rates = [row["avg_ts"] for row in ended.json() if row["n_batch"] == n_sequences and row["n_gen"] > 0]
        if not rates:
            raise ProgramFailed(f"`trimtab bench --batch {n_sequences}` told no speed of {n_sequences} sequences")
        return rates[0]


def weight_bytes_per_token(row, pair, n_unread_values):
    """Bytes of weights that one decoded token reads: all, but an embedding table that is not also the head."""
    width = {"f32": 4.0, "f16": 2.0}.get(pair.name, 1.0 + 2.0 / 64.0)
    return row["model_size"] - n_unread_values * width
