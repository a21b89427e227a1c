import copy as _copy, json as _json

_space, _item = {}, _json.loads(ITEM)
exec(REFERENCE, _space)
_wanted, _given, _atol = _space[NAME], globals()[NAME], _item["atol"]


def _are_floats(value):
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(part, float) for part in value)
    return isinstance(value, float)


def _is_close(given, wanted, atol):
    if isinstance(wanted, (list, tuple)):
        return len(given) == len(wanted) and all(_is_close(*pair, atol) for pair in zip(given, wanted))
    return abs(given - wanted) <= atol + 1e-7 * abs(wanted)


def _check(inputs):
    for arguments in inputs:
        try:
            wanted = _wanted(*_copy.deepcopy(arguments))
        except Exception:
            continue  # The reference and its contract refuse these arguments.
        if NAME == "find_zero" and abs(_space["poly"](*arguments, wanted)) > _atol:
            continue  # The reference itself finds no zero.
        given = _given(*_copy.deepcopy(arguments))
        if NAME == "find_zero":
            assert abs(_space["poly"](*arguments, given)) <= _atol, arguments
            continue
        atol = _atol or (1e-6 if _are_floats(wanted) else 0)
        assert given == wanted or (atol and _is_close(given, wanted, atol)), arguments
