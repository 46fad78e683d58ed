"""MedKLIP (Wu et al., ICCV 2023; arXiv 2301.02228): queries in words look over the patches of a film.

Modules have the names that the published checkpoint's tensors have.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmedpo_plugins.localizers.medklip.trunk import build_trunk

WIDTH, HEADS, LAYERS = 256, 4, 4  # of the decoder
WORDS = 768  # width of the text model
PATCHES = 1024  # channels of the trunk


class QueryLayer(nn.Module):
    """Queries attend to one another, then to the patches; each step starts with a norm of the queries."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()
        self.self_attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.multihead_attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.linear1, self.linear2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))

    def forward(self, queries: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries (queries, batch, width), and how each looked (batch, queries, patches), mean of heads."""
        own = self.norm1(queries)
        queries = queries + self.self_attn(own, own, own, need_weights=False)[0]
        seen, weights = self.multihead_attn(self.norm2(queries), patches, patches)
        queries = queries + seen
        return queries + self.linear2(self.linear1(self.norm3(queries)).relu()), weights


class QueryDecoder(nn.Module):
    """The layers, one after another."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()
        self.layers = nn.ModuleList(QueryLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, queries: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries, and how each looked (batch, queries, patches), mean of layers and heads."""
        looks = []
        for layer in self.layers:
            queries, weights = layer(queries, patches)
            looks.append(weights)
        return self.norm(queries), sum(looks[1:], looks[0]) / len(looks)


class MedKlipNetwork(nn.Module):
    """The whole: trunk, decoder, and whether what a query asks for is there."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()
        self.res_features = build_trunk()
        self.res_l1, self.res_l2 = nn.Linear(PATCHES, PATCHES), nn.Linear(PATCHES, WIDTH)
        self.disease_embedding_layer = nn.Linear(WORDS, WIDTH)
        self.cl_fc = nn.Linear(WIDTH, WORDS)  # of its training, where queries find places by name
        self.decoder = QueryDecoder()
        self.classifier = nn.Linear(WIDTH, 2)

    def forward(self, films: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (batch, queries, rows, columns), and how likely each query is there (batch, queries).

        `words` are what the text model makes of the queries (queries, 768). Queries see one another, so all have to be
        there that the network learned with; their order counts for nothing.
        """
        grid: Tensor = self.res_features(films)
        patches = self.res_l2(self.res_l1(grid.flatten(2).permute(2, 0, 1)).relu())
        queries = self.disease_embedding_layer(words)[:, None].expand(-1, len(films), -1)
        found, looks = self.decoder(queries, patches)
        chances = self.classifier(found).softmax(-1)[..., 1]
        return looks.unflatten(2, grid.shape[2:]), chances.T
