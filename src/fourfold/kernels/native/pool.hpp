// Threads of our own. They wait in a short spin and then sleep. A region is a sequence of shared phases that every
// thread of it runs through; who comes late finds phases done and skips them, so nobody waits for a thread to wake.
#pragma once
#include <atomic>
#include <cstdint>

struct Phases {
    std::atomic<uint64_t> ticket{0};  // number of the phase, and in the lower half its next unit
    std::atomic<int> done{0};         // units of the phase that have ended
};

void offer_processor(int spins);  // called while waiting, with how often it was called before

class Team {  // one thread's view of the phases of a region
public:
    explicit Team(Phases& phases) : phases(phases) {}

    // Two threads that take turns each run through a half of the units: weights are read in the order they lie in.
    static int placed(int turn, int units) { return turn % 2 ? (units + 1) / 2 + turn / 2 : turn / 2; }

    // Take units until none is left; all have ended when it returns.
    template <class Body> void share(int units, const Body& body) {
        const uint64_t mine = phase++;
        for (int spins = 0;;) {
            uint64_t now = phases.ticket.load(std::memory_order_acquire);
            if (now >> 32 != mine) return;
            const int unit = int(now & 0xffffffffu);
            if (unit >= units && units > 0) {
                offer_processor(spins++);
            } else if (phases.ticket.compare_exchange_weak(now, units ? now + 1 : (mine + 1) << 32)) {
                if (!units) return;
                body(placed(unit, units));
                if (phases.done.fetch_add(1, std::memory_order_acq_rel) + 1 == units) {
                    phases.done.store(0, std::memory_order_relaxed);
                    phases.ticket.store((mine + 1) << 32, std::memory_order_release);
                }
            }
        }
    }

private:
    Phases& phases;
    uint64_t phase = 0;
};

// Run `region(data, team, member)` on up to so many threads; on the caller's alone while another caller has them.
// `last`: no other region follows soon. The threads that torch's operators wait with run it, if they could be borrowed:
// theirs spin for a while after an operator, and would take the processor from ours. Else ours sleep at once afterwards.
using Region = void (*)(void* data, Team& team, int member);
using Fork = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);  // OpenMP's GOMP_parallel
void borrow_threads(Fork fork);
void run_region(int threads, Region region, void* data, bool last);

template <class Body> void run_team(int threads, Body body, bool last = false) {
    run_region(
        threads, [](void* data, Team& team, int member) { (*static_cast<Body*>(data))(team, member); }, &body, last);
}
