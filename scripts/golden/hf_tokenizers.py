"""Writes small tokenizers and the ids that `transformers` gives for awkward texts.

    python3 -m venv venv && venv/bin/pip install transformers==4.57.6 tokenizers==0.22.2
    venv/bin/python scripts/golden/hf_tokenizers.py crates/trimtab-models/tests/golden/hf_tokenizers

One folder a tokenizer, with its files and `expected.json`: ids of every text with and without the
tokens that begin and end a text, with special tokens as plain text, and the decoded text.
"""

import json
import pathlib
import sys

import tokenizers
import transformers
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

CORPUS = [
    "def add(a, b):\n    return a + b\n",
    "for i in range(10):\n    print(i, i ** 2)\n",
    "The quick brown fox jumps over the lazy dog, and then it returns 1234 times.",
    "class Stack:\n    def __init__(self):\n        self.items = []\n",
    "If the list is empty, return None; otherwise return the first item.",
] * 4
TEXTS = [
    "",
    " ",
    "   ",
    "a",
    " a",
    "  a",
    "def add(a, b):\n    return a + b\n",
    "return  return\treturn\r\n\n\n",
    "1234 12 007 3.14e-10",
    "don't we'll I'M",
    "naïve café e\u0301 ﬁ Å",
    "日本語 и русский 😀👩‍👩‍👧",
    "\u0000\u0001\u007f\u00a0\u200b\ufeff",
    "<s>a</s> <|im_start|>user\nhi<|im_end|>\n",
    "x<tool>y <tool> z",
    "▁a ▁▁b <0x41>",
    "a<|im_end|>  b<unk>",
]


def bpe_trainer(size, special, alphabet):
    return trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )


def byte_level(pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, bpe_trainer(340, [], alphabet))
    return tokenizer


def gpt2(folder):
    """Only `vocab.json` and `merges.txt`."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    model = json.loads(tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges)
    end = AddedToken("<|endoftext|>", special=True, normalized=False)
    loaded = GPT2TokenizerFast(
        str(folder / "vocab.json"), str(folder / "merges.txt"), bos_token=end, eos_token=end, unk_token=end
    )
    loaded.add_tokens([AddedToken("<tool>", normalized=True)])
    loaded.save_pretrained(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "added_tokens.json").unlink(missing_ok=True)
    return loaded


def digits(folder):
    """Every digit on its own, chat tokens, a word that is never cut, composed characters."""
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer = byte_level(pre_tokenizers.Sequence(steps), normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", AddedToken("<|im_end|>", rstrip=True)])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, lstrip=True)])
    loaded = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    loaded.save_pretrained(folder)
    return loaded


def sentencepiece_model():
    """Merges over words that begin with U+2581, and a token for every byte."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(CORPUS, bpe_trainer(400, special, []))
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return models.BPE(model["vocab"], merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)


def sentencepiece(folder, tokenizer):
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in ["<unk>", "<s>", "</s>"]]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    loaded = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    loaded.save_pretrained(folder)
    return loaded


def llama2(folder):
    """A space before the text by the normalizer; no pre-tokenizer."""
    tokenizer = Tokenizer(sentencepiece_model())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return sentencepiece(folder, tokenizer)


def metaspace(folder):
    """A space before the first word by the pre-tokenizer."""
    tokenizer = Tokenizer(sentencepiece_model())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return sentencepiece(folder, tokenizer)


def expected(tokenizer):
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        cases.append(
            {
                "text": text,
                "ids": ids,
                "ids_with_ends": tokenizer.encode(text),
                "ids_as_text": tokenizer.encode(
                    text, add_special_tokens=False, split_special_tokens=True
                ),
                "decoded": tokenizer.decode(ids, clean_up_tokenization_spaces=False),
                "decoded_without_special": tokenizer.decode(
                    ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
                ),
            }
        )
    return cases


def main():
    root = pathlib.Path(sys.argv[1])
    for make in [gpt2, digits, llama2, metaspace]:
        folder = root / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        loaded = make(folder)
        versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
        document = {"versions": versions, "cases": expected(loaded)}
        text = json.dumps(document, ensure_ascii=True)
        (folder / "expected.json").write_text(text + "\n")
        if (folder / "tokenizer.json").exists():
            # Without indentation: a third of the size.
            compact = json.loads((folder / "tokenizer.json").read_text())
            text = json.dumps(compact, ensure_ascii=False, separators=(",", ":"))
            (folder / "tokenizer.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
