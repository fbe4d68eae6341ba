"""A player for recording: follows routes with a calm camera, fights, and practises every verb of the plan language.

Before it commits to an action it plays the action through a small model of the engine's movement over the walkability
grid, so it seldom runs into walls and can hold one action for several chunks, as a person does.
"""
import math
from dataclasses import replace

import numpy as np

from tv2tv_core.data.arena import TICS_PER_CHUNK, Snapshot
from tv2tv_core.data.drills import drill
from tv2tv_core.data.navigation import CELL, STEP_UP, Navigation
from tv2tv_core.plan import LOOKS, TURNS, WEAPONS, Action

FRICTION = 0.90625
# Thrust per tic in map units (Doom's 25/50 forward and 24/40 sideways, over 32).
FORWARD_THRUST, STRAFE_THRUST = (25 / 32, 50 / 32), (24 / 32, 40 / 32)
SPEEDS = (8.3, 16.7)         # map units a tic at full pace: walk, run
CALM = (0, 5, -5, 10, -10, 15, -15)
WIDE = CALM + (20, -20, 25, -25, 30, -30)


def nearest(value: float, sizes: tuple[int, ...]) -> int:
    """The signed size from `sizes` (or 0) that is nearest to `value` degrees."""
    size = min((0, *sizes), key=lambda s: abs(abs(value) - s))
    return int(math.copysign(size, value)) if size else 0


def roll_out(navigation: Navigation, start: tuple[float, float, float, float], yaws: np.ndarray,
             plans: list[list[Action]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Play plans of equal length on the grid, sliding along walls as the engine does.

    start: (x, y, velocity x, velocity y); yaws: degrees, one per plan. Returns end positions float [plans, 2] (units),
    for how many tics each plan went on before it stuck, and during how many of these it slid along a wall, int [plans].
    """
    x, y, vx, vy = (np.full(len(plans), v, np.float64) for v in start)
    yaw = np.radians(yaws)
    free, slid = np.zeros(len(plans), int), np.zeros(len(plans), int)
    alive = np.ones(len(plans), bool)
    floor = navigation.floor[navigation.cells(x, y)]
    # Whoever leans on a wall stands in a blocked cell already and must be able to leave it.
    leaning = navigation.blocked[navigation.cells(x, y)]

    def stopped(at_x: np.ndarray, at_y: np.ndarray) -> np.ndarray:
        """bool: would the player be stopped there?"""
        cell = navigation.cells(at_x, at_y)
        here = navigation.floor[cell]
        return ~np.isfinite(here) | (navigation.blocked[cell] & ~leaning) | (here - floor > STEP_UP) \
            | navigation.shut[cell]

    for chunk in range(len(plans[0])):
        acts = [plan[chunk] for plan in plans]
        pace = np.array([0.5 if a.crouch else 1.0 for a in acts])
        ahead = np.array([a.forward * FORWARD_THRUST[a.run] for a in acts]) * pace
        aside = np.array([a.strafe * STRAFE_THRUST[a.run] for a in acts]) * pace
        turn = np.radians([a.turn / TICS_PER_CHUNK for a in acts])
        for tic in range(0, TICS_PER_CHUNK, 2):
            yaw = yaw + 2 * turn
            cos, sin = np.cos(yaw), np.sin(yaw)
            # Two tics at once: v1 = v + a, v2 = v1 f + a.
            push_x, push_y = ahead * cos - aside * sin, ahead * sin + aside * cos
            step_x, step_y = (vx + push_x) * (1 + FRICTION) + push_x, (vy + push_y) * (1 + FRICTION) + push_y
            vx = ((vx + push_x) * FRICTION + push_x) * FRICTION
            vy = ((vy + push_y) * FRICTION + push_y) * FRICTION
            hit = stopped(x + step_x, y + step_y)
            hit_x, hit_y = stopped(x + step_x, y), stopped(x, y + step_y)
            along_x = hit & ~hit_x & (hit_y | (np.abs(step_x) >= np.abs(step_y)))
            along_y = hit & ~hit_y & ~along_x
            move_x, move_y = ~hit | along_x, ~hit | along_y
            x, y = x + step_x * move_x, y + step_y * move_y
            vx, vy = vx * move_x, vy * move_y
            alive &= move_x | move_y
            leaning = leaning & navigation.blocked[navigation.cells(x, y)] & (chunk * TICS_PER_CHUNK + tic < 12)
            floor = navigation.floor[navigation.cells(x, y)]
            free[alive] += 2
            slid[hit] += 2
    return np.stack([x, y], 1), free, slid


class Bot:
    """Chooses one `Action` a chunk. `see` tells it the newest snapshot; `next` returns what to do."""

    def __init__(self, navigation: Navigation, rng: np.random.Generator) -> None:
        self.map, self.rng = navigation, rng
        self.queue: list[Action] = []
        self.field: np.ndarray | None = None
        self.visits = np.zeros(navigation.blocked.shape, np.float32)
        self.last: Action = Action()
        self.now: Snapshot | None = None
        self.pushes = 0
        self.age = 0
        self.drill_wait = 2
        self.combat_rest = 0
        self.door_open = 0
        self.knocks: dict[tuple[float, float], int] = {}
        self.pace = 0.7

    def see(self, snapshot: Snapshot, moved: float) -> None:
        """Tell the bot what the last chunk led to; moved: units travelled in it (inf when there was none)."""
        self.now = snapshot
        x, y = snapshot.pose[:2]
        row, column = self.map.cells(np.array(x), np.array(y))
        self.visits[max(row - 6, 0):row + 7, max(column - 6, 0):column + 7] += 0.05
        pressed = self.last.forward or self.last.strafe
        self.pushes = self.pushes + 1 if pressed and moved < 8 else 0
        self.age += 1
        self.combat_rest -= 1
        self.drill_wait -= 1
        if self.door_open:
            self.door_open -= 1
            if not self.door_open:
                self.map.shut[:] = self.map.door
        if self.pushes:
            self.queue = self._free_itself()
        if snapshot.state["HEALTH"] <= 0:
            self.queue = []

    def next(self) -> Action:
        """The action for the next chunk."""
        if not self.queue:
            self.queue = self._decide()
        self.last = self.queue.pop(0)
        return self.last

    # ---- decisions ----

    def _decide(self) -> list[Action]:
        fight = self._fight()
        if fight:
            return fight
        upright = self._level()
        if upright and self.rng.random() < 0.75:
            return upright
        if self.drill_wait <= 0 and self._clearance() > 40 and self._open_view() > 110:
            drill = self._drill()
            if drill:
                self.drill_wait = int(self.rng.integers(2, 6))
                return drill
        return self._spice(self._route())

    def _motion(self) -> tuple[float, float, float, float]:
        return *self.now.pose[:2], self.now.state["VELOCITY_X"], self.now.state["VELOCITY_Y"]

    def _clearance(self) -> float:
        row, column = self.map.cells(*np.array(self.now.pose[:2]))
        return float(self.map.clearance[row, column])

    def _open_view(self) -> float:
        """Units to the next wall straight ahead, at most 256: keeps the bot from practising nose to wall."""
        x, y, _, yaw, _ = self.now.pose
        reach = np.arange(16, 257, 8)
        row, column = self.map.cells(x + reach * math.cos(math.radians(yaw)), y + reach * math.sin(math.radians(yaw)))
        hit = np.flatnonzero(self.map.blocked[row, column] | self.map.shut[row, column])
        return float(reach[hit[0]]) if len(hit) else 256.0

    def _safe(self, plan: list[Action]) -> bool:
        _, free, slid = roll_out(self.map, self._motion(), np.array([self.now.pose[3]]), [plan])
        return bool(free[0] >= TICS_PER_CHUNK * len(plan) and slid[0] == 0)

    def _free_itself(self) -> list[Action]:
        """After pushing against something: mark the spot, step away, look elsewhere."""
        x, y, _, yaw, _ = self.now.pose
        move = math.atan2(self.last.strafe, self.last.forward)
        angle = math.radians(yaw) + move
        if self.pushes >= 1 and self.last.forward > 0:
            self.map.penalise(x + 36 * math.cos(angle), y + 36 * math.sin(angle))
        self.field = None
        side = int(self.rng.choice((-1, 1)))
        if self.pushes > 3:
            return [Action(forward=int(self.rng.choice((-1, 1))), strafe=side, run=True,
                           turn=side * int(self.rng.choice((30, 45))))]
        options = [[Action(forward=-1)], [Action(forward=-1, run=True)], [Action(strafe=side, run=True)],
                   [Action(strafe=-side, run=True)], [Action(turn=side * 45)] * 2]
        for k in self.rng.permutation(4):
            if self._safe(options[k]):
                return options[k]
        return options[4]

    def _fight(self) -> list[Action]:
        x, y, _, yaw, _ = self.now.pose
        foes = [(math.hypot(a.x - x, a.y - y), a) for a in self.now.actors if a.area >= 250]
        if not foes or self.combat_rest > 0:
            return []
        distance, foe = min(foes, key=lambda f: f[0])
        if distance > 1200:
            return []
        aim = math.degrees(math.atan2(foe.y + 6 * foe.vy - y, foe.x + 6 * foe.vx - x))
        error = math.remainder(aim - yaw, 360)
        turn = nearest(max(-30.0, min(30.0, error)), TURNS)
        if self.rng.random() < 0.12:
            self.combat_rest = int(self.rng.integers(8, 30))
        fire = abs(error) < max(10.0, math.degrees(math.atan2(40, distance)))
        side = int(self.rng.choice((-1, 0, 1)))
        ahead = 1 if distance > 500 else -1 if distance < 160 else int(self.rng.choice((0, 1), p=(0.7, 0.3)))
        act = Action(forward=ahead, strafe=side, run=bool((ahead or side) and self.rng.random() < 0.6), turn=turn,
                     fire=fire)
        if not self._safe([act]):
            act = Action(turn=turn, fire=fire)
        return [act] if turn else [act] * int(self.rng.integers(1, 4))

    def _level(self) -> list[Action]:
        """Bring the view back to the horizon."""
        look = nearest(-self.now.pose[4], LOOKS)
        if not look:
            return []
        route = self._route()[0] if self.rng.random() < 0.5 else Action()
        return [replace(route, look=look)]

    def _goal(self) -> None:
        node = self.map.node(*self.now.pose[:2])
        self.field, self.age = None, 0
        if node is None:
            return
        distance = self.map.distances(node)
        good = np.flatnonzero(np.isfinite(distance) & (distance > 20))
        large = self.map.region_size[self.map.region[good]] >= 400
        good = good[large] if large.any() else good
        if len(good) < 5:
            return
        rows, columns = self.map.rows[good], self.map.columns[good]
        weight = np.exp(-2 * self.visits[rows, columns]) * np.minimum(distance[good], 150)
        weight *= np.minimum(self.map.clearance[rows, columns], 64)
        # People seldom turn on their heel: rather a goal to which the way leads on.
        ends, free, _ = roll_out(self.map, self._motion(), np.array([self.now.pose[3]]), [[Action(forward=1)] * 4])
        beyond = self.map.node(*ends[0])
        if beyond is not None and free[0] >= TICS_PER_CHUNK:
            weight = weight * np.where(self.map.distances(beyond)[good] < distance[good], 1.0, 0.02)
        self.field = self.map.field(int(self.rng.choice(good, p=weight / weight.sum())))
        self.pace = float(self.rng.choice((0.97, 0.75, 0.2), p=(0.6, 0.25, 0.15)))

    def _heading(self, cells: int = 9) -> tuple[float, bool] | None:
        """(heading error in degrees, is a closed door within reach) along the descent of the path field."""
        x, y, _, yaw, _ = self.now.pose
        node = self.map.node(x, y)
        if self.field is None or node is None:
            return None
        row, column = self.map.rows[node], self.map.columns[node]
        door = False
        for step in range(cells):
            part = self.field[max(row - 1, 0):row + 2, max(column - 1, 0):column + 2]
            k = int(np.argmin(part))
            if not np.isfinite(part.flat[k]) or part.flat[k] >= self.field[row, column]:
                break
            row, column = max(row - 1, 0) + k // part.shape[1], max(column - 1, 0) + k % part.shape[1]
            door |= bool(self.map.shut[row, column]) and step < 5
        to_x, to_y = self.map.x0 + (column + 0.5) * CELL, self.map.y0 + (row + 0.5) * CELL
        if math.hypot(to_x - x, to_y - y) < 24:
            return None
        return math.remainder(math.degrees(math.atan2(to_y - y, to_x - x)) - yaw, 360), door

    def _route(self) -> list[Action]:
        """The next few chunks of the way to the goal: a forward arc, or a turn on the spot where that is better."""
        way = self._heading()
        if way is None or self.age > 120 or (abs(way[0]) > 70 and self.age > 4):
            self._goal()
            way = self._heading()
        if way is None:
            return self._swing(float(self.rng.choice((60, -60, 120, -120))))
        error, door = way
        if door and abs(error) < 35:
            return self._knock(error)
        return self._best()

    def _knock(self, error: float) -> list[Action]:
        """Open the door ahead and wait; give up the ones that never open."""
        x, y, _, yaw, _ = self.now.pose
        spot = (x // 96, y // 96)
        self.knocks[spot] = self.knocks.get(spot, 0) + 1
        if self.knocks[spot] > 2:
            angle = math.radians(yaw + error)
            self.map.penalise(x + 48 * math.cos(angle), y + 48 * math.sin(angle), 72, 1000)
            self.field = None
            return self._swing(180.0)
        self.map.shut[:] = False
        self.door_open = 14
        return [Action(turn=nearest(error, TURNS), use=True)] + [Action()] * int(self.rng.integers(2, 5))

    def _swing(self, error: float) -> list[Action]:
        """Turn on the spot by about `error` degrees in equal steps, mostly gently."""
        share = {10: 0.2, 15: 0.4, 20: 0.18, 25: 0.08, 30: 0.08, 45: 0.06}
        fitting = {size: p for size, p in share.items() if size - 5 <= abs(error) < 6.6 * size} or {30: 1}
        weight = np.array(list(fitting.values()))
        size = int(self.rng.choice(list(fitting), p=weight / weight.sum()))
        return [Action(turn=int(math.copysign(size, error)))] * max(1, min(6, round(abs(error) / size)))

    def _best(self) -> list[Action]:
        """Compare forward arcs from here with walking straight after a turn on the spot; take the best."""
        plans, hold, yaws, extra = [], [], [], []
        yaw = self.now.pose[3]
        run = self.rng.random() < self.pace
        for turn in WIDE:
            for pace in (run, False) if run else (False,):
                bend, ahead = Action(forward=1, run=pace, turn=turn), Action(forward=1, run=pace)
                for count in (1, 2, 3) if turn else (3,):
                    plans.append([bend] * count + [ahead] * (3 - count))
                    hold.append(count)
                    yaws.append(yaw)
                    # A bend costs and a kept line is worth something: the calm camera of a practised player.
                    extra.append(2 * (turn != 0) + 0.12 * abs(turn) + 0.4 * max(abs(turn) - 15, 0)
                                 - 2.5 * (bend == self.last))
        arcs = len(plans)
        for swing in range(-180, 180, 15):
            if abs(swing) >= 15:
                plans.append([Action(forward=1, run=run)] * 3)
                yaws.append(yaw + swing)
                extra.append(8 + 0.15 * abs(swing))
        ends, free, slid = roll_out(self.map, self._motion(), np.array(yaws), plans)
        cell = self.map.cells(ends[:, 0], ends[:, 1])
        left = np.where(np.isfinite(self.field[cell]), self.field[cell], 1e5)
        score = left + np.array(extra) + 0.8 * slid - 0.05 * np.minimum(self.map.clearance[cell], 96)
        score += 1.5 * (3 * TICS_PER_CHUNK - free)
        score[free < TICS_PER_CHUNK] += 1e4
        best = int(np.argmin(score))
        if score[best] >= 1e4:
            self.field = None
            return self._swing(float(self.rng.choice((90, -90, 135, -135))))
        if best >= arcs:
            return self._swing(yaws[best] - yaw)
        return plans[best][:max(1, min(hold[best], int(free[best] - slid[best]) // TICS_PER_CHUNK))]

    def _spice(self, plan: list[Action]) -> list[Action]:
        """Sometimes do something besides walking: shoot, jump, change the weapon, press use."""
        roll = self.rng.random()
        if roll < 0.018:
            return [replace(act, fire=True) for act in plan]
        if roll < 0.034 and plan[0].forward:
            return [replace(plan[0], jump=True)]
        if roll < 0.050:
            return [replace(plan[0], weapon=self._other_weapon())] + plan[1:]
        if roll < 0.062:
            return [replace(plan[0], use=True)] + plan[1:]
        if roll < 0.072 and plan[0].forward:
            look = int(self.rng.choice((5, -5, 10, -10)))
            return [replace(plan[0], look=look)] + plan[1:]
        return plan

    def _other_weapon(self) -> str:
        held = int(self.now.state["SELECTED_WEAPON"])
        share = np.array((0.12, 0.18, 0.2, 0.18, 0.1, 0.16, 0.06))
        if 1 <= held <= 7:
            share[held - 1] = 0
        return WEAPONS[int(self.rng.choice(7, p=share / share.sum()))]

    # ---- exercises ----

    def _drill(self) -> list[Action]:
        """One short exercise that is safe here, or nothing."""
        for _ in range(4):
            plan = drill(self.rng, self._other_weapon())
            if self._safe([replace(act, jump=False) for act in plan]):
                return plan
        return []
