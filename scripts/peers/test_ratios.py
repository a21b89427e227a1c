"""Tests of the arithmetic between samples and table."""

import unittest

from formats import PAIRS
from ratios import compare, lines, table


def sample(side, file_format, metric, number, value, model="m"):
    """One sample."""
    return {"model": model, "side": side, "format": file_format, "metric": metric, "round": number, "value": value}


def pair(name):
    """The pair of a name."""
    return next(pair for pair in PAIRS if pair.name == name)


class Ratios(unittest.TestCase):
    """What the table says."""

    def test_ratios_are_taken_round_by_round(self):
        ours = [sample("ours", "f32", "decode", n, value) for n, value in enumerate([10.0, 30.0, 20.0])]
        peer = [sample("peer", "F32", "decode", n, value) for n, value in enumerate([10.0, 15.0, 40.0])]
        line = compare(ours + peer, "m", "decode", pair("f32"), 1.2)
        self.assertEqual(line.ratios, [1.0, 2.0, 0.5])
        self.assertEqual(line.median(), 1.0)
        self.assertFalse(line.meets())

    def test_a_round_that_one_side_missed_is_left_out(self):
        ours = [sample("ours", "f32", "decode", n, 10.0) for n in range(2)]
        line = compare(ours + [sample("peer", "F32", "decode", 1, 5.0)], "m", "decode", pair("f32"), 1.0)
        self.assertEqual(line.ratios, [2.0])
        self.assertIsNone(compare(ours, "m", "decode", pair("f32"), 1.0))

    def test_less_memory_is_better(self):
        samples = [sample("ours", "f32", "peak_memory", 0, 50.0), sample("peer", "F32", "peak_memory", 0, 100.0)]
        self.assertEqual(compare(samples, "m", "peak_memory", pair("f32"), 1.0).median(), 2.0)

    def test_the_better_file_of_the_peer_counts(self):
        samples = [sample("ours", "int4", "decode", 0, 30.0)]
        samples += [sample("peer", "Q4_0", "decode", 0, 20.0), sample("peer", "Q4_K_M", "decode", 0, 15.0)]
        line = compare(samples, "m", "decode", pair("int4"), 1.0)
        self.assertEqual((line.peer, line.median()), ("Q4_0", 1.5))

    def test_the_share_of_bandwidth_has_bytes_and_seconds_on_both_sides(self):
        samples = [sample("ours", "f16", "decode", 0, 20.0), sample("ours", "f16", "bytes_per_token", 0, 1e9)]
        samples.append(sample("machine", "", "bandwidth", 0, 25e9, model=""))
        found = lines({"samples": samples})
        self.assertEqual([line.ratios for line in found], [[0.8]])
        self.assertTrue(found[0].meets())
        self.assertIn("| 0.80 | 0.80–0.80 | 0.8 | yes |", table({"samples": samples, "notes": []}))


if __name__ == "__main__":
    unittest.main()
