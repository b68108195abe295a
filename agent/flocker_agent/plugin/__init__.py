"""
Docker's volume plugin: datasets of the cluster as volumes of the Docker Engine, and of Podman, on one node.
"""
