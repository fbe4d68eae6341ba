"""Where a player can walk: a grid over a map's sectors, path fields towards a goal, and collision look-ups.

Built from what ViZDoom tells about sectors (floor and ceiling heights, lines), so it works for any map format. It is an
approximation for planning only; the engine itself decides what really happens.
"""
import numpy as np
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

CELL = 16                    # map units
RADIUS = 17                  # a player is 16 wide to each side
STEP_UP, HEAD_ROOM, DEEP_DROP = 24, 56, 128
DOOR_GAP = 16                # a sector lower than this is a closed door
SOLID = frozenset((
    "ExplosiveBarrel", "Column", "TechLamp", "TechLamp2", "TechPillar", "TallGreenColumn", "ShortGreenColumn",
    "TallRedColumn", "ShortRedColumn", "BlueTorch", "GreenTorch", "RedTorch", "ShortRedTorch", "ShortGreenTorch",
    "ShortBlueTorch", "Candelabra", "Stalagtite", "TorchTree", "BigTree", "BurningBarrel", "EvilEye", "FloatingSkull",
    "HeartColumn", "SkullColumn", "HeadOnAStick", "HeadsOnAStick", "HeadCandles", "DeadStick", "LiveStick"))


class Navigation:
    """Walkable cells of one map. `floor` float [H,W]; `blocked`, `door` bool [H,W]; nodes are the free cells."""

    def __init__(self, sectors: list, objects: list) -> None:
        lines = [[(l.x1, l.y1, l.x2, l.y2, bool(l.is_blocking)) for l in s.lines] for s in sectors]
        ends = np.array([l[:4] for group in lines for l in group]).reshape(-1, 2)
        self.x0, self.y0 = ends.min(0) - 2 * CELL
        self.width, self.height = (((ends.max(0) - (self.x0, self.y0)) // CELL).astype(int) + 3).tolist()
        self.sides = _sides(lines)
        self.floor = np.full((self.height, self.width), np.nan, np.float32)
        self.ceiling = self.floor.copy()
        for sector, group in zip(sectors, lines):
            inside = self._inside(group)
            self.floor[inside], self.ceiling[inside] = sector.floor_height, sector.ceiling_height
        self._mark(sectors, objects)
        clearance = ndimage.distance_transform_edt(~self.blocked) * CELL
        self.clearance = clearance.astype(np.float32)
        self.cost = (1 + 8 * np.exp(-clearance / 36) + 8 * self.door + 5 * self.ledge).astype(np.float32)
        free = ~self.blocked
        self.node_of = np.full(free.shape, -1)
        self.rows, self.columns = np.nonzero(free)
        self.node_of[free] = np.arange(len(self.rows))
        self._connect()

    def _inside(self, group: list) -> np.ndarray:
        """bool [H,W]: cells whose centre lies in the sector with these lines (even-odd rule, row by row)."""
        flips = np.zeros((self.height, self.width + 1), bool)
        for x1, y1, x2, y2, blocking in group:
            if y1 == y2 or (len(self.sides[(x1, y1, x2, y2)]) == 1 and not blocking):
                continue                                       # a line with this sector on both sides bounds nothing
            low, high = min(y1, y2), max(y1, y2)
            rows = np.arange(int(np.ceil((low - self.y0) / CELL - 0.5)), int(np.ceil((high - self.y0) / CELL - 0.5)))
            if not len(rows):
                continue
            y = self.y0 + (rows + 0.5) * CELL
            x = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
            columns = np.clip(np.ceil((x - self.x0) / CELL - 0.5).astype(int), 0, self.width)
            flips[rows, columns] ^= True
        return np.logical_xor.accumulate(flips, axis=1)[:, :self.width]

    def _mark(self, sectors: list, objects: list) -> None:
        """Fill `blocked`, `door` and `ledge` from the lines between sectors and from solid things."""
        self.blocked = np.isnan(self.floor) | (self.ceiling - self.floor < HEAD_ROOM)
        shut = self.ceiling - self.floor < DOOR_GAP
        self.blocked &= ~shut
        self.door = shut.copy()
        self.ledge = np.zeros_like(shut)
        for line, (owners, blocking) in self.sides.info.items():
            if len(owners) == 1:
                if blocking:
                    self._stamp(self.blocked, line, RADIUS)
                continue
            a, b = (sectors[k] for k in owners[:2])
            gap = min(a.ceiling_height, b.ceiling_height) - max(a.floor_height, b.floor_height)
            closed = [s.ceiling_height - s.floor_height < DOOR_GAP for s in (a, b)]
            rise = abs(a.floor_height - b.floor_height)
            if blocking or (gap < HEAD_ROOM and closed[0] == closed[1]) or rise > DEEP_DROP:
                self._stamp(self.blocked, line, RADIUS)
            elif closed[0] != closed[1]:
                self._stamp(self.door, line, 20)
            elif rise > STEP_UP:
                self._stamp(self.ledge, line, RADIUS)
        for thing in objects:
            if thing.name in SOLID:
                x, y = thing.position_x, thing.position_y
                self._stamp(self.blocked, (x, y, x + 1, y), RADIUS + 14)
        self.door &= ~self.blocked
        self.shut = self.door.copy()       # doors that are closed at this moment; a player may clear and restore it

    def _stamp(self, grid: np.ndarray, line: tuple, radius: float) -> None:
        """Set all cells whose centre is nearer than `radius` to the line."""
        x1, y1, x2, y2 = line[:4]
        i0, i1 = (int((v - self.x0) // CELL) for v in (min(x1, x2) - radius, max(x1, x2) + radius))
        j0, j1 = (int((v - self.y0) // CELL) for v in (min(y1, y2) - radius, max(y1, y2) + radius))
        i0, j0 = max(i0, 0), max(j0, 0)
        part = grid[j0:j1 + 1, i0:i1 + 1]
        x = self.x0 + (np.arange(i0, i0 + part.shape[1]) + 0.5) * CELL
        y = (self.y0 + (np.arange(j0, j0 + part.shape[0]) + 0.5) * CELL)[:, None]
        dx, dy = x2 - x1, y2 - y1
        along = np.clip(((x - x1) * dx + (y - y1) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        part |= np.hypot(x - x1 - along * dx, y - y1 - along * dy) < radius

    def _connect(self) -> None:
        """Directed graph over free neighbouring cells: up by a step at most, down by any walkable drop."""
        starts, ends, weights = [], [], []
        height, width = self.node_of.shape
        for dj, di in ((0, 1), (1, 0), (1, 1), (1, -1)):
            rows, columns = slice(0, height - dj), slice(max(0, -di), width - max(0, di))
            rows2, columns2 = slice(dj, height), slice(max(0, di), width + min(0, di))
            both = (self.node_of[rows, columns] >= 0) & (self.node_of[rows2, columns2] >= 0)
            a, b = self.node_of[rows, columns][both], self.node_of[rows2, columns2][both]
            floor_a, floor_b = self.floor[rows, columns][both], self.floor[rows2, columns2][both]
            cost = (self.cost[rows, columns][both] + self.cost[rows2, columns2][both]) * 0.5 * np.hypot(dj, di)
            for source, target, rise in ((a, b, floor_b - floor_a), (b, a, floor_a - floor_b)):
                ok = rise <= STEP_UP
                starts.append(source[ok])
                ends.append(target[ok])
                weights.append(cost[ok])
        size = len(self.rows)
        # Transposed, so that one search from the goal gives the distance of every cell to it.
        self._towards = csr_matrix((np.concatenate(weights), (np.concatenate(ends), np.concatenate(starts))),
                                   shape=(size, size))
        self.region = connected_components(self._towards, directed=True, connection="strong")[1]
        self.region_size = np.bincount(self.region)

    def node(self, x: float, y: float, reach: int = 3) -> int | None:
        """The free cell nearest to a world position, within `reach` cells."""
        i, j = int((x - self.x0) // CELL), int((y - self.y0) // CELL)
        j0, i0 = max(j - reach, 0), max(i - reach, 0)
        part = self.node_of[j0:j + reach + 1, i0:i + reach + 1]
        rows, columns = np.nonzero(part >= 0)
        if not len(rows):
            return None
        best = np.argmin((rows + j0 - j) ** 2 + (columns + i0 - i) ** 2)
        return int(part[rows[best], columns[best]])

    def position(self, node: int) -> tuple[float, float]:
        """World position of a node's centre."""
        return self.x0 + (self.columns[node] + 0.5) * CELL, self.y0 + (self.rows[node] + 0.5) * CELL

    def distances(self, node: int) -> np.ndarray:
        """float [nodes]: cost of the way from `node` to everywhere (inf = unreachable)."""
        return dijkstra(self._towards.T, indices=node)

    def field(self, goal: int) -> np.ndarray:
        """float32 [H,W]: cost of the way from every cell to `goal`; inf where there is none."""
        grid = np.full(self.node_of.shape, np.inf, np.float32)
        grid[self.rows, self.columns] = dijkstra(self._towards, indices=goal)
        return grid

    def cells(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, column) of world positions, clipped into the grid."""
        column = np.clip(((x - self.x0) // CELL).astype(int), 0, self.width - 1)
        row = np.clip(((y - self.y0) // CELL).astype(int), 0, self.height - 1)
        return row, column

    def penalise(self, x: float, y: float, radius: float = 40.0, cost: float = 40.0) -> None:
        """A player got stuck here: make ways around it cheaper."""
        spot = np.zeros_like(self.blocked)
        self._stamp(spot, (x, y, x + 1, y), radius)
        self.cost[spot] += cost
        self._connect()


class _Sides(dict):
    """line -> owning sectors; `info` holds each line once: {line: (owners, blocking)}."""

    info: dict


def _sides(lines: list[list]) -> _Sides:
    sides, blocking = _Sides(), {}
    for index, group in enumerate(lines):
        for line in group:
            sides.setdefault(line[:4], []).append(index)
            blocking[line[:4]] = blocking.get(line[:4], False) or line[4]
    sides.info = {line: (owners, blocking[line]) for line, owners in sides.items()}
    return sides
