"""Forecasts of item series and the features drawn from them."""
