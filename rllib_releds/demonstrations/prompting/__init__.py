"""What a model is told: `prompts` fills in `templates/`.

network_text    the road network in words
surroundings    the part of a large network that matters
feedback_text   what came of a cycle in words
"""
