"""A Django site that runs as several processes, with the README's configuration."""

import os
import re
from pathlib import Path

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
USE_TZ = True

README = (Path(__file__).parents[2] / "README.md").read_text()
exec(re.search(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1])
CHANNEL_LAYERS["default"]["CONFIG"]["cluster"]["cluster"] = os.environ["SHOP"]  # noqa: F821
