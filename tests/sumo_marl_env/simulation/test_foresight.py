from hypothesis import given
from hypothesis import strategies as st

from sumo_marl_env.simulation.foresight import steps_to_drive


@given(
    distance_m=st.floats(0.0, 2000.0), speed=st.floats(0.0, 40.0), top=st.floats(1.0, 40.0), gain=st.floats(0.3, 8.0)
)
def test_no_vehicle_is_sooner_there_than_foreseen(distance_m, speed, top, gain):
    foreseen = steps_to_drive(distance_m, speed, top, gain)
    driven_m, steps, fastest = 0.0, 0, max(top, speed)
    while driven_m < distance_m:
        # As fast as a vehicle can be, in SUMO's own steps.
        speed = min(speed + gain, fastest)
        driven_m += speed
        steps += 1
    assert steps - 1 <= foreseen <= max(1, steps)
