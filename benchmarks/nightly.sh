#!/bin/sh
# All faults at their full number: 200 commands killed with their worker processes, 1,000 forked runs killed, every
# operation of a save failed in five ways, 100,000 images of a power loss, every safeguard taken out. About two hours on
# two cores; the figures go to benchmarks/results/nightly.json, n of n. Options are passed on: --real 10 --forked 50 …
cd "$(dirname "$0")/.." || exit
export PYTHONPATH="tests/faults:tests/acceptance:tests/training${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" benchmarks/nightly.py "$@"
