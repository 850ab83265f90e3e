"""The paper's tables and figures: many training runs, side by side, and what came out of them."""
