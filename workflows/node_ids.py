"""Other ids for the nodes of an API workflow."""

from __future__ import annotations

from story_studio.story.recipes import Nodes, is_link


def renamed(nodes: Nodes, names: dict[str, str]) -> Nodes:
    """The nodes of an API workflow that have a name here, in that order, with it for their id."""
    done = {}
    for node_id, name in names.items():
        inputs = nodes[node_id]["inputs"]
        links = {entry: [names[one[0]], one[1]] for entry, one in inputs.items() if is_link(one)}
        done[name] = {**nodes[node_id], "inputs": inputs | links}
    return done
