"""Attention over listed edges: `attend.attend_edges` for layers, `backend.EdgeByEdge` for `heedful.attend`."""
