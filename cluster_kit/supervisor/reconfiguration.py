"""How a running supervisor changes: its configuration, its topologies, its metadata."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cluster_kit.config import (
    ClusterConfig,
    ConfigDict,
    TopologyConfig,
    TopologyDict,
    load_config,
)
from cluster_kit.config.advice import advice
from cluster_kit.config.certificate_files import CertificateFiles
from cluster_kit.config.secret_file import SecretFile
from cluster_kit.errors import ClusterKitError
from cluster_kit.node import Node
from cluster_kit.pipe.messages import Drain, Renew, SetMetadata
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.changes import (
    Changes,
    carry_out,
    changes_between,
    with_topology,
    without_topology,
)
from cluster_kit.supervisor.file_watch import (
    ExpiryCheck,
    FileWatch,
    certificate_poller,
    secret_poller,
)
from cluster_kit.supervisor.keychain import Keychain
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.waiting import await_serving


class Reconfigurable(ABC):
    """The methods of ``Supervisor`` that change its configuration.

    Only one thread at a time changes topologies; the others wait for it.
    """

    def __init__(
        self,
        config: ClusterConfig,
        local: Node,
        plugins: PluginRegistry,
        keychain: Keychain,
        *,
        bus: EventBus,
        logs: LogRelay,
    ) -> None:
        self._config = config
        self._local = local
        self._leaving = False
        self._plugins = plugins
        self._bus = bus
        self._logs = logs
        self._stop_requested = False
        self._loop: SupervisingLoop | None = None
        self._changing = threading.Lock()
        self._keychain = keychain
        self._watch = FileWatch(
            self._names_files,
            [
                secret_poller(self._current, self._use_secrets, logs),
                certificate_poller(self._current, self._use_certificates, logs),
                ExpiryCheck(self._current, logs),
            ],
            logs,
        )

    def reload(
        self, config: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig
    ) -> Changes:
        """Change to another configuration; topologies that are the same in both run on undisturbed.

        Topologies that are configured differently leave, and start again as configured now. It
        waits until they accept links, as ``start`` does. Don't call it in a signal handler.

        Args:
            config: A dict, the path of a YAML file, or what ``load_config`` returned.

        Returns:
            What has changed.

        Raises:
            ConfigError: The configuration has faults, or belongs to another node or cluster; then
                nothing has changed. Or a topology can't serve as configured now; then the change
                stays, and starting the topology is retried.
            ClusterKitError: The supervisor is not running.
        """
        self._running()
        with self._changing:
            new = load_config(config, self._plugins)
            changes = changes_between(self._config, new)
            self._apply(new, changes)
        return changes

    def add_topology(self, name: str, topology: TopologyDict | Mapping[str, Any]) -> None:
        """Start one more topology, and wait until it accepts links.

        Args:
            name: Its name.
            topology: Its configuration, as under ``topologies``.

        Raises:
            ConfigError: The configuration has faults, or the topology can't serve as configured;
                nothing of it is left.
            ClusterKitError: There is a topology of that name, or the supervisor is not running.
        """
        self._running()
        with self._changing:
            if name in self._config.topologies:
                fault = f"{name!r} is there already: use replace_topology"
                raise ClusterKitError(f"add_topology: {fault}")
            new = with_topology(self._config, name, topology, self._plugins)
            try:
                self._apply(new, Changes(added=(name,)))
            except BaseException:
                self._apply(without_topology(self._config, name), Changes(removed=(name,)))
                raise

    def replace_topology(self, name: str, topology: TopologyDict | Mapping[str, Any]) -> None:
        """Stop a topology with a goodbye, and start it with another configuration.

        Args:
            name: Its name.
            topology: Its new configuration, as under ``topologies``.

        Raises:
            ConfigError: The configuration has faults; then nothing has changed. Or the topology
                can't serve as configured; then starting it is retried.
            ClusterKitError: There is no topology of that name, or the supervisor is not running.
        """
        self._running()
        with self._changing:
            self._bus.check(name)
            new = with_topology(self._config, name, topology, self._plugins)
            self._apply(new, Changes(replaced=(name,)))

    def remove_topology(self, name: str) -> None:
        """Stop a topology for good, with a goodbye.

        Its nodes are reported as down and lost, and subscriptions to this topology alone end.

        Raises:
            ClusterKitError: There is no topology of that name, it is the last one, or the
                supervisor is not running.
        """
        self._running()
        with self._changing:
            self._bus.check(name)
            if len(self._config.topologies) == 1:
                raise ClusterKitError(f"remove_topology: {name!r} is the last one: use stop")
            self._apply(without_topology(self._config, name), Changes(removed=(name,)))

    def drain(self) -> None:
        """Announce that this node is about to leave; return at once.

        Other nodes keep their links to it until it stops, and open no new ones.
        """
        self._leaving = True
        self._send_to_all(Drain())

    def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """Replace this node's metadata, which all other nodes learn; return at once.

        Raises:
            TypeError: ``metadata`` is not a mapping.
            ValueError: A key or value is not text, or there are more than 1,024 bytes in all.
        """
        if not isinstance(metadata, Mapping):
            raise TypeError(f"update_metadata: {metadata!r:.80}: expected a mapping of str to str")
        self._local = self._local.evolve(metadata=dict(metadata))
        self._send_to_all(SetMetadata(dict(self._local.metadata)))

    def _apply(self, new: ClusterConfig, changes: Changes) -> None:
        """Change to ``new``, and wait until the topologies that it starts accept links."""
        loop = self._running()
        if self._bus.closed or self._stop_requested:
            fault = "it has stopped, and can't be changed"
            raise ClusterKitError(f"supervisor: {fault}: make a new one")
        self._keychain.change(new)  # the only step that can fail, so it comes first
        self._config = new
        started = carry_out(changes, self._topologies(), loop, self._bus)
        if changes.metadata:
            self.update_metadata(new.metadata)
        if changes.secrets or changes.certificates:
            self._renew()
        self._watch.open()
        await_serving(self._bus, started)

    def _send_to_all(self, message: Any) -> None:
        if self._loop is not None:
            loop = self._running()
            for name in loop.workers:
                loop.submit(name, lambda worker: worker.send(message))

    def _current(self) -> ClusterConfig:
        return self._config

    def _names_files(self) -> bool:
        return self._config.secret_file is not None or self._config.certificates is not None

    def _renew(self) -> None:
        """Send the new secrets and certificates to the workers, which keep their links."""
        keyring = self._keychain.keyring()
        if keyring is not None:  # otherwise protection was dropped, and all workers are new
            self._send_to_all(Renew(keyring))
        self._advise()

    def _use_secrets(self, file: SecretFile) -> None:
        """Use the secret that the file holds now."""

        def changed(config: ClusterConfig) -> ClusterConfig | None:
            was = config.secret_file
            is_same = was is not None and was.path == file.path
            return replace(config, secret_file=file) if is_same else None

        self._use_files(changed, f"secret_file: '{file.path}'")

    def _use_certificates(self, files: CertificateFiles) -> None:
        """Use the certificates that the files hold now."""

        def changed(config: ClusterConfig) -> ClusterConfig | None:
            was = config.certificates
            is_same = was is not None and was.paths == files.paths
            return replace(config, certificates=files) if is_same else None

        title = f"certificates: {files.paths}, valid until {files.expires_text},"
        self._use_files(changed, title)

    def _use_files(
        self, changed: Callable[[ClusterConfig], ClusterConfig | None], title: str
    ) -> None:
        """Use what the files hold now; during another change, leave that to the next poll.

        Args:
            changed: Returns the configuration with the files' content; ``None`` if it names other
                files by now.
            title: What has changed, for the log.
        """
        if not self._changing.acquire(blocking=False):
            return
        try:
            new = changed(self._config)
            if new is not None:
                changes = changes_between(self._config, new)
                self._apply(new, changes)
                self._logs.log(logging.INFO, f"{title} {changes}")
        finally:
            self._changing.release()

    def _advise(self) -> None:
        """Warn of what is unwise about the secrets."""
        for each in advice(self._config):
            self._logs.log(logging.WARNING, each)

    @abstractmethod
    def _running(self) -> SupervisingLoop: ...

    @abstractmethod
    def _topologies(self) -> Mapping[str, TopologyConfig]: ...
