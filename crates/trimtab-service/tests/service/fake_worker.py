#!/usr/bin/env python3
"""A worker that speaks the protocol and does nothing: quick, and as bad as a test wants.

Called as `fake_worker.py worker --data-dir DIR`. The file `behaviour` in DIR says what goes wrong
(`WHAT` or `WHAT KIND` for one kind of job); every start is noted in `calls`.
"""
import hashlib, json, os, pathlib, signal, subprocess, sys, time

data_dir = pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1])
job = json.load(sys.stdin)
spec = job["spec"]
behaviour = (data_dir / "behaviour").read_text().split() if (data_dir / "behaviour").exists() else ["well"]
what = behaviour[0] if len(behaviour) == 1 or behaviour[1] == spec["kind"] else "well"
with open(data_dir / "calls", "a") as calls:
    calls.write(f"{spec['kind']} {len(job['done'])}\n")


def say(event):
    print(json.dumps(event), flush=True)


def put(folder, content, extension):
    digest = hashlib.sha256(content).hexdigest()
    (data_dir / folder / f"{digest}.{extension}").write_bytes(content)
    return {"digest": digest, "size": len(content)}


def score(number, variant=None):
    return {
        "kind": "problem_scored",
        "score": {
            "variant": variant or spec["variant"], "suite": "starter", "problem_id": f"p{number}",
            "track": "write", "sample_idx": 0, "verdict": "passed" if number % 2 else "failed",
            "completion": "pass", "output": "", "n_prompt_tokens": 5, "n_output_tokens": 2,
            "finish_reason": "stop", "ttft_ms": 10.0, "tpot_ms": 3.0 if what == "slow" else 2.0, "grading_ms": 1.0,
        },
    }


def speed(median):
    return {"median": median, "min": median, "max": median, "n": 3}


def references(suite=None, cpu_ms=1200):
    outcome = {"kind": "passed", "cpu_ms": cpu_ms, "memory": 1 << 20}
    findings = [{"problem_id": f"p{number}", "outcome": outcome} for number in range(6)]
    return {"kind": "references_checked",
            "references": {"suite": suite or spec["suites"][0], "digest": "a" * 64, "findings": findings}}


def card_use(seconds, joules):
    return {"seconds": seconds, "energy_j": joules, "n_others": 1,
            "peak_memory": {"bytes": 1200, "of": "process"}}


def misbehave():
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segfault":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        sys.exit(3)
    if what == "garbage":
        print("Segmentation fault (core dumped)", flush=True)
        time.sleep(60)
    if what == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    if what == "hang":
        child = subprocess.Popen(["sleep", "600"])
        (data_dir / "grandchild").write_text(str(child.pid))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if what == "leave-child":
        child = subprocess.Popen(["sleep", "600"])
        (data_dir / "grandchild").write_text(str(child.pid))
    if what == "fail":
        say({"kind": "failed", "failure": {"kind": "failed", "message": "no luck", "hint": "try"}})
        sys.exit(1)
    if what == "stranger":
        say(score(0, "somebody:else"))
        time.sleep(60)
    if what == "strange-suite":
        say(references(suite="elsewhere"))
        time.sleep(60)
    if what == "endless-reference":
        say(references(cpu_ms=1 << 40))
        time.sleep(60)
    if what == "nan":
        event = score(0)
        event["score"]["ttft_ms"] = -1.0
        say(event)
        time.sleep(60)


if spec["kind"] == "fetch":
    misbehave()
    made = put("models", b"GGUF" + spec["model"].encode(), "gguf")
    say({"kind": "model_fetched", "model": spec["model"], **made})
elif spec["kind"] == "compress":
    (data_dir / "tmp" / f"compress-{job['job_id']}-unfinished").write_text("half")
    misbehave()
    say({"kind": "layer_compressed", "report": {"name": "layer0", "error": 0.1, "bits_per_weight": 4.5, "duration_ms": 1.0}})
    if what == "late-kill":
        os.kill(os.getpid(), signal.SIGKILL)
    size = {"f16": 400, "int8": 200}.get(spec["recipe"]["name"], 120)
    made = put("artifacts", spec["variant"].encode().ljust(size, b"x"), "trimtab")
    say({"kind": "variant_made", "variant": spec["variant"], "model": spec["model"],
         "recipe": spec["recipe"], "n_parameters": 200, **made})
else:
    known = [finding for told in job["references"] for finding in told["findings"]]
    with open(data_dir / "references", "a") as seen:
        seen.write(f"{spec['variant']} knows {len(known)}\n")
    if len(known) < 6:
        say(references())
        if what == "twice":
            say(references())
    done = {tuple(key) for key in job["done"]}
    if what.startswith("card"):
        # Each takes the place of the one before, and another attempt adds to it.
        for seconds in (2.0, 8.0):
            say({"kind": "card_used", "total": card_use(seconds, 100.0 * seconds)})
        if what == "card-kill" and not done:
            say(score(0))
            os.kill(os.getpid(), signal.SIGKILL)
    for number in range(6):
        if ("starter", f"p{number}", 0) not in done:
            say(score(number))
            if what == "twice":
                say(score(number))
        if number == 2:
            misbehave()
    if not job["has_perplexity"]:
        say({"kind": "perplexity_measured", "variant": spec["variant"], "result": {
            "perplexity": 7.5, "low": 7.0, "high": 8.0, "n_tokens": 100, "context": 50, "text": "t"}})
    if not job["has_performance"]:
        decode = 30.0 if spec["variant"].endswith("int8") else 10.0
        result = {
            "prefill_tokens_per_s": speed(100.0), "decode_tokens_per_s": speed(decode),
            "n_prompt": 8, "n_gen": 8, "n_threads": 1, "load_ms": 5.0, "peak_memory": 1000,
            "weights": 100, "kv_cache": 10}
        # Otherwise as versions wrote it that measured less.
        if what in ("noisy", "rest"):
            result["detail"] = {
                "n_warmups": 1, "n_loads": 1, "ttft_ms": speed(80.0), "tpot_ms": speed(33.0),
                "gaps_ms": {"p50": 33.0, "p90": 34.0, "p95": 35.0, "p99": 36.0, "n": 24},
                "prefill_cpu_ms": speed(160.0), "decode_cpu_s_per_1000": speed(66.0),
                "rest": 890 if what == "noisy" else 0, "other_load": 0.5}
        if what.startswith("card"):
            watts = -1.0 if what == "card-nan" else 250.0
            result["card_use"] = card_use(0.5, watts / 2)
        say({"kind": "performance_measured", "variant": spec["variant"], "result": result})
say({"kind": "finished"})
