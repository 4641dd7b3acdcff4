"""Run a monitor with a stopwatch: python -IS stages.py SITE-PACKAGES MODULE ARGUMENT...

Prints as JSON how many seconds of CPU each stage of the run took. Nothing but gc, sys and time is
imported before the clock is read, so that what the interpreter took to start stands alone.
"""

import gc
import sys
import time

START = time.process_time()
gc.disable()
sys.path.append(sys.argv[1])


class Watch:
    """Adds up the CPU time spent in functions, less that of those called inside."""

    def __init__(self):
        """Begin with nothing."""
        self.spent = {}
        self.inside = 0.0

    def wrap(self, module, name, stage):
        """Have the time of `module.name` count for `stage`."""
        function = getattr(module, name)

        def timed(*args, **kwargs):
            outer, self.inside = self.inside, 0.0
            begun = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - begun
                self.spent[stage] = self.spent.get(stage, 0.0) + took - self.inside
                self.inside = outer + took

        setattr(module, name, timed)


def main():
    """Run the monitor, and print the stages."""
    from lvsalert.commands import entry

    module = __import__(f"lvsalert.commands.{sys.argv[2]}", fromlist=["run"])
    if sys.argv[2] == "fping_monitor":
        # Which imports it when it sends the first request.
        import icmplib  # noqa: F401

        from lvsalert.checks import icmp
    imported = time.process_time()
    from lvsalert.checks import attempt, monitor
    from lvsalert.commands import monitoring
    from lvsalert.mon import report

    watch = Watch()
    watch.wrap(report, "report_of", "report")
    watch.wrap(monitoring.monitor, "report", "sockets")
    watch.wrap(attempt, "numeric", "name resolution")
    watch.wrap(monitor, "count_names", "name resolution")
    watch.wrap(monitor, "targets_of", "name resolution")
    watch.wrap(module, "run", "option parsing")
    watch.wrap(entry, "_emit", "report")
    if sys.argv[2] == "fping_monitor":
        watch.wrap(icmp, "numeric", "name resolution")
    outcome = module.run(sys.argv[3:], {}, str)
    entry._emit(outcome)
    stages = {"interpreter": START, "imports": imported - START, **watch.spent}
    import json

    sys.stderr.write(json.dumps(stages))


main()
