"""A Ray cluster of a head and nodes, as processes of this machine; a program of its own.

It reads a line at a time: `add NAME=VALUE ...` starts a node with more in its environment, and
answers with its number; `kill N` ends one without a word to it; its end ends all.
"""

import os
import sys

STORE = 80 * 2**20
"""Bytes of a node's object store."""


def main() -> None:
    from ray.cluster_utils import Cluster

    own = {"include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=own | {"num_cpus": 0})
    print(cluster.address, flush=True)
    nodes = []
    try:
        for line in sys.stdin:
            command, *words = line.split()
            if command == "add":
                more = dict(word.split("=", 1) for word in words)
                before = dict(os.environ)
                os.environ.update(more)
                nodes.append(cluster.add_node(num_cpus=1, **own))
                os.environ.clear()
                os.environ.update(before)
                print(len(nodes) - 1, flush=True)
            else:
                cluster.remove_node(nodes[int(words[0])], allow_graceful=False)
                print("killed", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
