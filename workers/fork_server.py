"""The fork server of a service on one machine: the one process that imports TensorFlow, for predictors and trainers.

`python -m workers.fork_server nursery PARENT FD TRAINERS`, started by the serving parent. Predictors are asked
for over FD and forked as `app.serving.predictor` does it. Workers ask for trainers over TRAINERS, a socket that they
and we inherited from the supervisor; nobody else can.

    worker ── TRAINERS: "+", one end of a socket ──► fork server ── forks ──► keeper
    worker ◄── that socket: ready, then words and descriptors, then numbers ──► keeper ── forks ──► trainer

A trainer's keeper is its parent: it tells the worker how the trainer ended, and ends it when the worker is gone. Both
live on when this process dies. Nothing here runs a TensorFlow operation or starts a thread before it forks.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys

from app.process import (
    NOT_FOR_MODELS,
    die_with_parent,
    fork_module,
    let_go_of_file_pages,
    name_process,
    show_command,
    without,
)
from app.serving.predictor import __main__ as predictors
from workers.worker.trainer_protocol import ENDED, FORKED, KEEPER_READY, MOST_BYTES, MOST_DESCRIPTORS


def main(arguments: list[str]) -> None:
    _, parent, *descriptors = arguments
    die_with_parent(parent=int(parent))
    name_process("fork-server")
    predictors.ignore_the_terminal()
    control, trainers = (socket.socket(fileno=int(descriptor)) for descriptor in descriptors)
    trainers.setblocking(False)  # during a rolling restart another fork server reads it as well
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears away whom we fork
    while True:
        ready, _, _ = select.select([control, trainers], [], [])
        if trainers in ready:
            _fork_keeper(trainers)
        if control in ready and (words := predictors.fork_predictor(control, int(parent))) is not None:
            trainers.close()
            predictors.predict(words)


def _import_all() -> None:
    gc.disable()  # meanwhile: nothing is garbage yet, and looking for it took a quarter of the import
    with without(NOT_FOR_MODELS):  # a model_fn of the catalogue may import them
        predictors.import_all()
        import tf_estimator  # noqa: F401
    import workers.attempt.attempt_mirror
    import workers.estimator_json.model_fns
    import workers.jobs.job_devices
    import workers.trainer.runner
    import workers.trainer.warm_up  # noqa: F401

    let_go_of_file_pages()
    gc.freeze()  # a collection in what we fork does not write to the pages that it shares with us


def _fork_keeper(trainers: socket.socket) -> None:
    """Forks one for the request that has come, if it is still there."""
    try:
        _, descriptors, *_ = socket.recv_fds(trainers, 1, 1)
    except BlockingIOError:
        return
    if not descriptors:
        os._exit(0)  # the supervisor is gone
    if os.fork() == 0:
        try:
            _keep(socket.socket(fileno=descriptors[0]))
        except (OSError, EOFError):
            pass  # the worker is gone, and the trainer goes with us
        finally:
            os._exit(0)
    os.close(descriptors[0])


def _keep(worker: socket.socket) -> None:
    """Forks the trainer, waits for its end or the worker's, and tells how it ended."""
    own = worker.detach()
    _close_all_but(own)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    name_process("trainer-keeper")
    show_command("-m", "workers.fork_server", "keeper")
    worker = socket.socket(fileno=own)
    worker.sendall(KEEPER_READY)
    words, given, *_ = socket.recv_fds(worker, MOST_BYTES, MOST_DESCRIPTORS)
    if not words:
        raise EOFError
    wanted, keeper = json.loads(words), os.getpid()
    trainer = fork_module(
        wanted["words"],
        wanted["environment"],
        keep=given[3:],
        standard=given[:3],
        first=lambda: _begin_trainer(keeper),
    )
    _close_all_but(own)
    worker.sendall(FORKED.pack(trainer))
    ended = os.pidfd_open(trainer)
    waiting: list[socket.socket | int] = [worker, ended]
    if ended not in select.select(waiting, [], [])[0]:
        os.kill(trainer, signal.SIGKILL)
    _, status, usage = os.wait4(trainer, 0)
    worker.sendall(ENDED.pack(os.waitstatus_to_exitcode(status), usage.ru_maxrss))


def _begin_trainer(keeper: int) -> None:
    die_with_parent(parent=keeper)
    name_process("trainer")


def _close_all_but(descriptor: int) -> None:
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    main(sys.argv[1:])
