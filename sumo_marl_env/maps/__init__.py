"""From a map to a `RoadNetwork`.

network, paths, graphs      junctions, edges and connections as arrays, shortest paths, layouts for graph networks
osm, netconvert, raw_map    import of OpenStreetMap files
verdict, capacity, published    is a network fit for routing, how much traffic it bears, is it like the paper's
bounding_box, fetch, download   maps from servers
"""
