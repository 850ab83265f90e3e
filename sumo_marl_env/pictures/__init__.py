"""Pictures, without a display.

render          one picture of a running environment
replay, replay_page     a recorded episode simulated again, as one HTML page
"""
