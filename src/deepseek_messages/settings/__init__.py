"""Every setting of the server: one frozen tree, read once, checked once.

``load_settings`` reads a TOML file, then the environment, then command-line flags; later ones
win. Whatever is wrong becomes one ``SettingsError`` that names the key and where it stands.
"""

from deepseek_messages.settings.addresses import is_loopback, split_url
from deepseek_messages.settings.documents import DocumentsSettings
from deepseek_messages.settings.known import KNOWN, MEMBER, Setting
from deepseek_messages.settings.rules import check_settings
from deepseek_messages.settings.secret import Secret
from deepseek_messages.settings.server import AuthMode, AuthSettings, ServerSettings
from deepseek_messages.settings.sources import SettingsError, Source, find_config, load_settings
from deepseek_messages.settings.telemetry import LogSettings, TelemetrySettings
from deepseek_messages.settings.tools import ToolsSettings
from deepseek_messages.settings.tree import Settings
from deepseek_messages.settings.upstreams import (
    DEEPSEEK_URL,
    EmbeddedSettings,
    MemberSettings,
    ModelsSettings,
    PoolSettings,
    UpstreamKind,
    UpstreamSettings,
)

__all__ = [
    "DEEPSEEK_URL",
    "KNOWN",
    "MEMBER",
    "AuthMode",
    "AuthSettings",
    "DocumentsSettings",
    "EmbeddedSettings",
    "LogSettings",
    "MemberSettings",
    "ModelsSettings",
    "PoolSettings",
    "Secret",
    "ServerSettings",
    "Setting",
    "Settings",
    "SettingsError",
    "Source",
    "TelemetrySettings",
    "ToolsSettings",
    "UpstreamKind",
    "UpstreamSettings",
    "check_settings",
    "find_config",
    "is_loopback",
    "load_settings",
    "split_url",
]
