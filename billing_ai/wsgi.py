"""The WSGI application that the web processes serve."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
_application = get_wsgi_application()

from django.urls import get_resolver  # noqa: E402  # these need the settings that the line above has read

from billing_ai.inbox.door import with_door  # noqa: E402

application = with_door(_application)

# Every address is loaded now instead of with the first request, and what is loaded stays for good: the collector need not look through it again
# and again while events are parsed.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
