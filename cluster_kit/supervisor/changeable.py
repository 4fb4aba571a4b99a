"""How a running supervisor goes over to another configuration: one thread at a time, and all or nothing."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cluster_kit.config import ClusterConfig, ConfigDict, TopologyConfig, load_config
from cluster_kit.config.advice import advice
from cluster_kit.config.certificate_files import CertificateFiles
from cluster_kit.config.secret_file import SecretFile
from cluster_kit.errors import ClusterKitError
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.bus import EventBus
from cluster_kit.supervisor.changes import Changes, carry_out, changes_between, with_topology, without_topology
from cluster_kit.supervisor.file_watch import FileWatch
from cluster_kit.supervisor.keychain import Keychain
from cluster_kit.supervisor.logs import LogRelay
from cluster_kit.supervisor.loop import SupervisingLoop
from cluster_kit.supervisor.serving import await_serving
from cluster_kit.supervisor.watched import ExpiryLook, look_at_certificates, look_at_secrets
from cluster_kit.worker.messages import Renew


class Changeable(ABC):
    """The part of a supervisor that has its configuration, and changes it; see ``Supervisor``."""

    def __init__(self, config: ClusterConfig, plugins: PluginRegistry, bus: EventBus, logs: LogRelay) -> None:
        self._config = config
        self._plugins = plugins
        self._bus = bus
        self._logs = logs
        self._told_to_stop = False
        self._changing = threading.Lock()
        self._keychain = Keychain(config.cluster)
        self._watch = FileWatch(
            lambda: self._config.secret_file is not None or self._config.certificates is not None,
            [
                look_at_secrets(self._current, self._take_in_secrets, logs),
                look_at_certificates(self._current, self._take_in_certificates, logs),
                ExpiryLook(self._current, logs),
            ],
            logs,
        )

    def reload(self, config: ConfigDict | Mapping[str, Any] | str | os.PathLike[str] | ClusterConfig) -> Changes:
        """Go over to another configuration: what is the same in both goes on undisturbed.

        Topologies that are configured otherwise leave, then start as configured now. Not for signal handlers.

        Returns:
            What has changed.

        Raises:
            ConfigError: The configuration has faults, or is that of another node or cluster, and nothing has changed. Or a
                topology can't serve as configured now, and is tried again and again.
            ClusterKitError: The supervisor does not run.
        """
        self._running()
        with self._changing:
            new = load_config(config, self._plugins)
            changes = changes_between(self._config, new)
            self._become(new, changes)
        return changes

    def add_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Start one more topology, given as under ``topologies`` of a configuration.

        Raises:
            ConfigError: It has faults, or can't serve as configured; nothing of it is left.
            ClusterKitError: There is one of that name, or the supervisor does not run.
        """
        self._running()
        with self._changing:
            if name in self._config.topologies:
                raise ClusterKitError(f"add_topology: {name!r} is there already: use replace_topology")
            new = with_topology(self._config, name, topology, self._plugins)
            try:
                self._become(new, Changes(added=(name,)))
            except BaseException:
                self._become(without_topology(self._config, name), Changes(removed=(name,)))
                raise

    def replace_topology(self, name: str, topology: Mapping[str, Any]) -> None:
        """Have a topology leave, and start it as configured now.

        Raises:
            ConfigError: It has faults, and nothing has changed. Or it can't serve as configured, and is tried again and again.
            ClusterKitError: There is none of that name, or the supervisor does not run.
        """
        self._running()
        with self._changing:
            self._bus.check(name)
            self._become(with_topology(self._config, name, topology, self._plugins), Changes(replaced=(name,)))

    def remove_topology(self, name: str) -> None:
        """Have a topology leave for good; its nodes are told as down and lost, and its own subscriptions end.

        Raises:
            ClusterKitError: There is none of that name, it is the last one, or the supervisor does not run.
        """
        self._running()
        with self._changing:
            self._bus.check(name)
            if len(self._config.topologies) == 1:
                raise ClusterKitError(f"remove_topology: {name!r} is the last one: use stop")
            self._become(without_topology(self._config, name), Changes(removed=(name,)))

    def _become(self, new: ClusterConfig, changes: Changes) -> None:
        loop = self._running()
        if self._bus.closed or self._told_to_stop:
            raise ClusterKitError("supervisor: it has stopped, and can't be changed: make a new one")
        self._keychain.change(new)
        self._config = new
        begun = carry_out(changes, self._topologies(), loop, self._bus)
        if changes.metadata:
            self.update_metadata(new.metadata)
        if changes.secrets or changes.certificates:
            self._renew()
        self._watch.open()
        await_serving(self._bus, begun)

    def _current(self) -> ClusterConfig:
        return self._config

    def _renew(self) -> None:
        """Have the workers use other secrets and certificates, which they do without losing a link."""
        keyring = self._keychain.keyring()
        if keyring is not None:  # else all of them are others
            self._order_all(Renew(keyring))
        self._advise()

    def _take_in_secrets(self, file: SecretFile) -> None:
        """Go over to what the secret's file says now."""

        def changed(config: ClusterConfig) -> ClusterConfig | None:
            was = config.secret_file
            return replace(config, secret_file=file) if was is not None and was.path == file.path else None

        self._take_in(changed, f"secret_file: '{file.path}'")

    def _take_in_certificates(self, files: CertificateFiles) -> None:
        """Go over to the certificates that their files have now."""

        def changed(config: ClusterConfig) -> ClusterConfig | None:
            was = config.certificates
            return replace(config, certificates=files) if was is not None and was.paths == files.paths else None

        self._take_in(changed, f"certificates: {files.paths}, valid until {files.expires_text},")

    def _take_in(self, changed: Callable[[ClusterConfig], ClusterConfig | None], title: str) -> None:
        """Go over to what files say now; the next look tries again where another change is under way.

        Args:
            changed: Returns a configuration with what they say, ``None`` where it names others meanwhile.
            title: What is said to have changed.
        """
        if not self._changing.acquire(blocking=False):
            return
        try:
            new = changed(self._config)
            if new is not None:
                changes = changes_between(self._config, new)
                self._become(new, changes)
                self._logs.log(logging.INFO, f"{title} {changes}")
        finally:
            self._changing.release()

    def _advise(self) -> None:
        """Warn of what is unwise about the secrets."""
        for each in advice(self._config):
            self._logs.log(logging.WARNING, each)

    @abstractmethod
    def update_metadata(self, metadata: Mapping[str, str]) -> None:
        """See ``Supervisor``."""

    @abstractmethod
    def _running(self) -> SupervisingLoop: ...

    @abstractmethod
    def _topologies(self) -> Mapping[str, TopologyConfig]: ...

    @abstractmethod
    def _order_all(self, message: Any) -> None: ...
