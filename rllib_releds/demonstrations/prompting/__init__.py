"""What a model is told: `prompts` fills in `templates/`.

network_text    the road network in words
feedback_text   what came of a cycle in words
"""
