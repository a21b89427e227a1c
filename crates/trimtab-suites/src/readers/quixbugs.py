import json as _json, sys as _sys

_item = _json.loads(ITEM)
_name = _item["entry_point"]


class _Skipped(Exception):
    pass


class _Near:
    def __init__(self, value, abs=None, rel=None):
        self.value, self.slack = value, max(abs or 0, (rel or 1e-6) * (value if value > 0 else -value) if abs is None or rel else 0)

    def __eq__(self, other):
        return -self.slack <= other - self.value <= self.slack


def _skip(reason=""):
    raise _Skipped(reason)


def _parametrize(names, cases):
    def mark(function):
        function._cases = cases
        return function

    return mark


def _module(name, **contents):
    _sys.modules[name] = module = type(_sys)(name)
    module.__dict__.update(contents)
    return module


_module("pytest", use_correct=False, run_slow=False, approx=_Near, skip=_skip,
        mark=_module("pytest.mark", parametrize=_parametrize))
_module("load_testdata", load_json_testcases=lambda name: _item.get("cases"))
_module("python_programs")
_module("python_programs." + _name, **{_name: globals()[_name]})
_space = {"__name__": "tests"}
exec(compile(_item["pytest"], "quixbugs.py", "exec"), _space)


def _run(name, idx):
    test = _space[name]
    try:
        test(*(test._cases[idx] if hasattr(test, "_cases") else ()))
    except _Skipped:
        pass
