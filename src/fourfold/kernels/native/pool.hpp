// Threads of our own. They wait in a short spin and then sleep; a region runs on all of them, with barriers inside.
#pragma once
#include <atomic>

class Team {
public:
    explicit Team(int size) : size(size) {}
    const int size;

    // Every thread of the team takes units until none is left; all have ended when it returns.
    template <class Body> void share(int units, const Body& body) {
        for (int unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) body(unit);
        wait();
    }
    void wait();

private:
    std::atomic<int> next{0}, arrived{0}, round{0};
};

// Run `region(data, team, member)` on so many threads; on the caller's alone while another caller has them.
using Region = void (*)(void* data, Team& team, int member);
void run_region(int threads, Region region, void* data);

template <class Body> void run_team(int threads, Body body) {
    run_region(threads, [](void* data, Team& team, int member) { (*static_cast<Body*>(data))(team, member); }, &body);
}
