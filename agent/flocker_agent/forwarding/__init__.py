"""
Ports that containers on other nodes publish, led there by the kernel of this host.
"""
