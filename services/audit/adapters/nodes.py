"""Reading the tree's stored nodes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.audit.domain.merkle import Node

_LOAD = text("""
    SELECT nodes.level, nodes.index AS place, nodes.hash
    FROM unnest(CAST(:levels AS smallint[]), CAST(:indexes AS bigint[])) AS wanted (level, index)
    JOIN nodes ON (nodes.level, nodes.index) = (wanted.level, wanted.index)
    UNION ALL
    SELECT 0, entries.index, entries.leaf_hash FROM entries WHERE entries.index = ANY(CAST(:leaves AS bigint[]))
""")


async def load_nodes(connection: AsyncConnection, nodes: Collection[Node]) -> dict[Node, bytes]:
    """The hashes of complete subtrees; level 0 are the entries' leaf hashes."""
    inner = [node for node in nodes if node[0] > 0]
    rows = await connection.execute(
        _LOAD,
        {
            "levels": [level for level, _ in inner],
            "indexes": [index for _, index in inner],
            "leaves": [index for level, index in nodes if level == 0],
        },
    )
    return {(row.level, row.place): bytes(row.hash) for row in rows}
