"""
Clients of the control service's REST API, for our own tools and for other people's programs.

``control`` is asynchronous, on Twisted; ``blocking`` is for scripts. Both speak ``/v2``, and ``/v1`` as Flocker did.
"""
